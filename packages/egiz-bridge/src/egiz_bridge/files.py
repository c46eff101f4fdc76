"""Whether files can be written, tried without touching any data."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from egiz_bridge.errors import Unavailable

_BUSY_TIMEOUT_S = 5.0


def probe_writable(path: Path) -> None:
    """Ask whether a file can be written, or made.

    Raises:
        Unavailable: it cannot.
    """
    directory = path.parent
    if not directory.is_dir():
        raise Unavailable(f"there is no directory {directory}")
    if not os.access(path if path.exists() else directory, os.W_OK):
        raise Unavailable(f"{path} cannot be written")


def probe_sqlite(path: Path) -> None:
    """Ask whether an SQLite file can be read and written, or made.

    Raises:
        Unavailable: it cannot, with SQLite's words.
    """
    probe_writable(path)
    if not path.exists():
        return
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as db:
            db.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error
