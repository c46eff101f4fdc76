"""The SQLite file of the spool: what a transaction returns from is fsynced.

A file that is damaged is set aside under another name, and a new one is begun: a bridge
that cannot start because of yesterday's backlog would lose today's messages, too. One
that is removed, moved or replaced while it is open goes on at its name: what waits in
it is copied, because it is acknowledged.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from egiz_bridge.database_file import DatabaseFile
from egiz_bridge.errors import FileDamaged, Unavailable
from egiz_bridge.files import probe_sqlite
from egiz_bridge.incidents import Incidents
from egiz_bridge.spool import schema

# Whoever removes files may remove the next one, too, while the first is being replaced.
_TRIES = 5

_log = structlog.get_logger()


class SpoolFile:
    """The file; safe to use from several threads.

    Attributes:
        path: where it is.
        lock: held by each transaction; its thread may enter it again.
        incidents: what happened to it while it was open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.incidents = Incidents()
        self._generation = 0
        self._is_closed = False
        self._file = self._opened()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; on the disk when it ends.

        Raises:
            FileDamaged: the file was set aside; the next transaction has a new one.
            Unavailable: the disk does not accept it.
        """
        with self.lock:
            self._keep_name()
            try:
                with self._file.transaction() as db:
                    yield db
            except FileDamaged as error:
                self._begin_again(error)
                raise FileDamaged(f"{error}; it is set aside") from error
            self._keep_name()

    def probe(self) -> None:
        """Ask whether it could be written, and opened by another program.

        Raises:
            FileDamaged, Unavailable: as `transaction`.
        """
        with self.lock:
            self._keep_name()
            try:
                probe_sqlite(self.path)
            except FileDamaged as error:
                self._begin_again(error)
                raise

    def version(self) -> tuple[int, int]:
        """Differs after another process has changed the file, and for a new file."""
        (version,) = self._file.db.execute("PRAGMA data_version").fetchone()
        return self._generation, version

    def close(self) -> None:
        """Close the file; a thread that comes later, after a stop, finds it closed."""
        with self.lock:
            self._is_closed = True
            self._file.close()

    def _opened(self) -> DatabaseFile:
        file = DatabaseFile(self.path, self._prepare)
        try:
            file.open()
        except FileDamaged as error:
            self._set_aside(file, error)
            file.open()
        self._generation += 1
        return file

    def _prepare(self, db: sqlite3.Connection) -> None:
        schema.prepare(db, self.path, time.time_ns() // 1_000_000)

    def _keep_name(self) -> None:
        """Go on at the name if the open file has lost it.

        Raises:
            Unavailable: there, no file can be made; nothing is stored meanwhile.
        """
        if self._is_closed:
            raise Unavailable(f"{self.path} is closed")
        if not self._file.is_open:  # it could not be opened again
            self._file = self._opened()
        what = ""
        try:
            for _ in range(_TRIES):
                if not (what := self._file.lost()):
                    return
                if self._went_on_at_the_name():
                    self._log_lost(what)
        except FileDamaged as error:
            self._begin_again(error)
            raise
        except Unavailable as error:
            raise Unavailable(f"{self.path} {what}; {error}") from error
        raise Unavailable(f"{self.path} is removed again and again")

    def _went_on_at_the_name(self) -> bool:
        """The file is closed only when all of it is in the one that has its name."""
        before = self._file
        before.finish()
        is_there = before.has_its_name
        copy = before.write_again() if is_there else None
        try:
            now = self._opened()
        except BaseException:
            if copy is not None:
                os.close(copy)
            raise
        try:
            if not is_there:
                with now.transaction() as db:
                    schema.carry_over(before.db, db)
            # The copy may be gone, too: then this is a new file.
            is_all = copy is None or now.is_copy(copy)
            has_name = is_all and now.has_its_name
        except BaseException:
            now.close()
            raise
        (before if has_name else now).close()
        self._file = now if has_name else before
        return has_name

    def _log_lost(self, what: str) -> None:
        self.incidents.add(
            f"{self.path} {what}; what waited in it is in the file that is there now",
            is_damaged=False,
        )
        _log.error(
            f"spool {what}: what waited in it is kept at its name, and the bridge goes"
            " on; stop the bridge before you touch the file",
            path=str(self.path),
        )

    def _begin_again(self, error: FileDamaged) -> None:
        self._set_aside(self._file, error)
        self._file = self._opened()

    def _set_aside(self, file: DatabaseFile, error: FileDamaged) -> None:
        aside = file.set_aside()
        text = f"spool damaged: renamed to {aside}, a new one begun"
        self.incidents.add(text, is_damaged=True)
        _log.error(
            "spool damaged: the file is renamed and a new one begun; what waited in"
            " it is not written (sqlite3's .recover may read it)",
            path=str(aside),
            why=str(error),
        )
