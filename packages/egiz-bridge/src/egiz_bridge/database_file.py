"""An SQLite file that stays open while others may remove, move or damage it.

What is written to a file without a name is gone when the process ends. So whoever
stores here compares what is open with what has the name: device and inode of the file
and of the two that SQLite keeps beside it. Where the name is a link, these two are
beside the file that it leads to, and what is made or renamed here is, too.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from egiz_bridge.errors import FileDamaged, Unavailable

_PARTS = ("", "-wal", "-shm")
_BUSY_TIMEOUT_S = 5.0
_PRIMARY_CODE = 0xFF  # of SQLite's extended result codes
_MAGIC = b"SQLite format 3\0"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# (device, inode) of a file by the end of its name; nothing if there is none.
_Identities = dict[str, tuple[int, int] | None]


class DatabaseFile:
    """The file, opened by `open`; one thread at a time.

    Args:
        path: where it is, or a link to that.
        prepare: makes or converts its tables; called before anything is changed.
    """

    def __init__(
        self, path: Path, prepare: Callable[[sqlite3.Connection], None]
    ) -> None:
        self.path = path
        self._prepare = prepare
        self._db: sqlite3.Connection | None = None
        self._opened: _Identities = {}
        # As long as the connection: to close one takes SQLite's locks away (POSIX).
        self._descriptors: list[int] = []

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self._db is not None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection of an open file."""
        assert self._db is not None
        return self._db

    def open(self) -> None:
        """Open it, or make it.

        Raises:
            FileDamaged: it is no database any more.
            Unavailable: the disk does not give it.
        """
        with translate_errors(self.path):
            db = sqlite3.connect(
                self.path,
                timeout=_BUSY_TIMEOUT_S,
                check_same_thread=False,
                isolation_level=None,
            )
            try:
                db.execute("PRAGMA synchronous = FULL")  # stored means fsynced
                self._prepare(db)
                db.execute("PRAGMA journal_mode = WAL")  # readers stop no writer
                db.execute("BEGIN IMMEDIATE")  # now all its parts are there
                db.execute("COMMIT")
            except BaseException:
                db.close()
                raise
        self._db = db
        self._opened = self._at_the_name()
        with suppress(OSError):
            self._descriptors.append(os.open(self.path, os.O_RDONLY))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; on the disk when it ends.

        Raises:
            FileDamaged, Unavailable: as `open`.
        """
        with translate_errors(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                if self.db.in_transaction:  # a full disk has ended it already
                    self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def lost(self) -> str:
        """What happened to the open file, if another is at its name, or none.

        Raises:
            FileDamaged: it is there, and empty.
        """
        now = self._at_the_name()
        if now[""] == self._opened[""] and _is_empty(self.path):
            raise FileDamaged(f"{self.path}: it was emptied")
        if now == self._opened and now[""]:
            return "" if self.is_whole else "was overwritten while the bridge runs"
        if now[""] is None:
            return "was removed or moved while the bridge runs"
        if now[""] != self._opened[""]:
            return "was replaced by another one while the bridge runs"
        parts = [part for part in _PARTS if now[part] != self._opened[part]]
        names = " and ".join(self._part(part).name for part in parts)
        return f"lost {names} while the bridge runs"

    @property
    def is_whole(self) -> bool:
        """Whether it begins as a database; SQLite has its log, and looks later."""
        try:
            return (
                not self._descriptors
                or os.pread(self._descriptors[0], len(_MAGIC), 0) == _MAGIC
            )
        except OSError:
            return True  # SQLite has better words for it

    @property
    def has_its_name(self) -> bool:
        """Whether the file itself is there, whatever is beside it."""
        now = self._at_the_name()[""]
        return now is not None and now == self._opened[""]

    def is_copy(self, descriptor: int) -> bool:
        """Whether the open file is the one that `write_again` has made.

        The descriptor of that is closed with this file.
        """
        self._descriptors.append(descriptor)
        return self._opened[""] == _identity(descriptor)

    def finish(self) -> None:
        """Bring all into the file itself, wherever it is; leave nothing at its name.

        Raises:
            FileDamaged, Unavailable: as `open`.
        """
        with translate_errors(self.path):
            busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Unavailable(f"{self.path}: another program reads it")
        now = self._at_the_name()
        for part in _PARTS[1:]:
            if now[part] and now[part] == self._opened[part]:
                with suppress(OSError):
                    self._part(part).unlink()

    def write_again(self) -> int:
        """Put a copy of it at its name: it has lost what belongs beside it.

        Returns:
            A descriptor of the copy: while it is open, no other file has its inode.

        Raises:
            FileDamaged, Unavailable: as `open`; what is at the name is as it was.
        """
        target, copy = self._part(""), self._part(".copy")
        try:
            copy.unlink(missing_ok=True)
            with translate_errors(self.path):
                self.db.execute("VACUUM INTO ?", (str(copy),))
            _sync(copy)
            made = os.open(copy, os.O_RDONLY)
            copy.replace(target)
            _sync(target.parent)
        except OSError as error:
            raise Unavailable(f"{copy}: {error.strerror}") from error
        return made

    def set_aside(self) -> Path:
        """Close a damaged file and rename it, if it has its name; gives the new one.

        Raises:
            Unavailable: it cannot be renamed.
        """
        is_there = not self._opened or self.has_its_name
        self.close()
        aside = self._free_name()
        try:
            for part in _PARTS if is_there else ():
                with suppress(FileNotFoundError):
                    self._part(part).rename(aside.with_name(aside.name + part))
        except OSError as error:
            reason = f"damaged, and cannot be renamed: {error.strerror}"
            raise Unavailable(f"{self.path} is {reason}") from error
        return aside

    def _free_name(self) -> Path:
        first = found = self._part(f".damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        number = 0
        while found.exists():
            number += 1
            found = first.with_name(f"{first.name}-{number}")
        return found

    def close(self) -> None:
        """Close it, if it is open."""
        if self._db is not None:
            self._db.close()
            self._db = None
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _part(self, ending: str) -> Path:
        return Path(self._target() + ending)

    def _at_the_name(self) -> _Identities:
        target = self._target()
        return {part: _identity(target + part) for part in _PARTS}

    def _target(self) -> str:
        """Where the name leads to now; a link may be changed while the file is open."""
        name = str(self.path)
        return os.path.realpath(name) if os.path.islink(name) else name  # noqa: PTH114  # as below


def _identity(path: str | int) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # for each write: it costs half
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_empty(path: Path) -> bool:
    try:
        return not os.stat(path).st_size  # noqa: PTH116  # as above
    except OSError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into ours.

    Raises:
        FileDamaged, Unavailable: as `DatabaseFile.open`.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & _PRIMARY_CODE in _DAMAGED or code == sqlite3.SQLITE_IOERR_SHORT_READ:
            raise FileDamaged(f"{path}: {error}") from error
        raise Unavailable(f"{path}: {error}") from error
