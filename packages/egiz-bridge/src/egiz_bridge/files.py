"""Whether files can be written, tried without touching any data."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from egiz_bridge.database_file import translate_errors
from egiz_bridge.errors import Unavailable

_BUSY_TIMEOUT_S = 5.0
# A disk with less room than a batch may need is full.
_ROOM_BYTES = 256 * 1024


def probe_writable(path: Path) -> None:
    """Ask whether a file can be written, or made; by a link, where that leads to.

    Raises:
        Unavailable: it cannot.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise Unavailable(f"{path} cannot be written: its links lead in a circle")
    place = path if path.exists() else target.parent
    if place != path and not place.is_dir():
        raise Unavailable(f"there is no directory {place}")
    if not os.access(place, os.W_OK):
        raise Unavailable(f"{path} cannot be written")
    if _disk_is_full(place):
        raise Unavailable(f"{path} cannot be written: its disk is full")


def _disk_is_full(place: Path) -> bool:
    try:
        disk = os.statvfs(place)
    except OSError as error:  # it was removed meanwhile
        raise Unavailable(f"{place}: {error.strerror}") from error
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < _ROOM_BYTES


def probe_sqlite(path: Path) -> None:
    """Ask whether an SQLite file can be read and written, or made.

    It is opened by its name, and of each table the first page is read.

    Raises:
        FileDamaged: it is no database any more.
        Unavailable: it cannot, with SQLite's words.
    """
    probe_writable(path)
    if not path.exists():
        return
    if not path.is_file():
        raise Unavailable(f"{path} is no regular file")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        translate_errors(path),
        closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as db,
    ):
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (name,) in db.execute(query).fetchall():
            db.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608  # of the file itself
