"""How much of `spool.max_bytes` is used: batches and dead letters share it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from egiz_bridge.errors import Unavailable
from egiz_bridge.spool.file import SpoolFile

_BATCHES = "SELECT total(bytes) FROM batches"
_DEAD_LETTERS = "SELECT total(length(topic) + length(payload)) FROM dead_letters"


class Quota:
    """What is used, in bytes; whoever changes it within `transaction` says so here.

    Attributes:
        path: where the file is.
        batch_bytes: of batches that wait for a sink.
        dead_bytes: of dead letters.
    """

    def __init__(self, file: SpoolFile, max_bytes: int) -> None:
        self._file = file
        self.path = file.path
        self.max_bytes = max_bytes
        self.batch_bytes = self.dead_bytes = 0
        self._counted_at: object = None

    @property
    def bytes_used(self) -> int:
        """What batches and dead letters use of `max_bytes`."""
        return self.batch_bytes + self.dead_bytes

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction of the file, in which the figures are those of the file.

        Raises:
            Unavailable: as `SpoolFile.transaction`; the figures are counted again.
        """
        with self._file.lock:
            try:
                with self._file.transaction() as db:
                    self._count(db)
                    yield db
            except Unavailable:
                self._counted_at = None
                raise

    def _count(self, db: sqlite3.Connection) -> None:
        """Count if the file is new, or another process has changed it."""
        version = self._file.version()
        if version != self._counted_at:
            self.batch_bytes = int(db.execute(_BATCHES).fetchone()[0])
            self.dead_bytes = int(db.execute(_DEAD_LETTERS).fetchone()[0])
            self._counted_at = version
