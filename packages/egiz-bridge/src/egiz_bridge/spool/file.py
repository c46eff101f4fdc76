"""The SQLite file of the spool: what a transaction returns from is fsynced.

A file that is damaged is set aside under another name, and a new one is begun: a bridge
that cannot start because of yesterday's backlog would lose today's messages, too.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from egiz_bridge.errors import SpoolDamaged, Unavailable
from egiz_bridge.spool import schema

_PRIMARY_CODE = 0xFF  # of SQLite's extended result codes

_log = structlog.get_logger()


class SpoolFile:
    """The file; safe to use from several threads.

    Attributes:
        path: where it is.
        lock: held by each transaction; its thread may enter it again.
        set_aside: how many damaged files were set aside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.set_aside = 0
        try:
            self._db = self._opened()
        except SpoolDamaged:
            self._db = self._opened()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; on the disk when it ends.

        Raises:
            SpoolDamaged: the file was set aside; the next transaction has a new one.
            Unavailable: the disk does not accept it.
        """
        with self.lock:
            try:
                with self._translate_errors():
                    self._db.execute("BEGIN IMMEDIATE")
                    with self._rollback_on_error():
                        yield self._db
                    self._db.execute("COMMIT")
            except SpoolDamaged:
                self._db = self._opened()
                raise

    @contextmanager
    def _rollback_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise

    def version(self) -> tuple[int, int]:
        """Differs after another process has changed the file, and for a new file."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return self.set_aside, version

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()

    def _opened(self) -> sqlite3.Connection:
        with self._translate_errors():
            self._db = sqlite3.connect(
                self.path, timeout=5, check_same_thread=False, isolation_level=None
            )
            self._db.execute("PRAGMA synchronous = FULL")
            # First: nothing is changed in a file that is not ours.
            schema.prepare(self._db, self.path, time.time_ns() // 1_000_000)
            self._db.execute("PRAGMA journal_mode = WAL")
        return self._db

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
            if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise Unavailable(f"{self.path}: {error}") from error
            self._set_aside(error)
            raise SpoolDamaged(f"{self.path}: {error}; it is set aside") from error

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._db.close()
        stem = f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        aside = self.path.with_name(f"{stem}-{self.set_aside}")
        for ending in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        self.set_aside += 1
        _log.error(
            "spool damaged: the file is renamed and a new one begun; what waited in"
            " it is not written (sqlite3's .recover may read it)",
            path=str(aside),
            why=str(error),
        )
