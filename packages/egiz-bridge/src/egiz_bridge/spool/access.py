"""How the commands of operators open a spool, while the bridge runs or not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from egiz_bridge.database_file import translate_errors
from egiz_bridge.errors import Unavailable
from egiz_bridge.files import probe_sqlite
from egiz_bridge.spool import schema

_BUSY_TIMEOUT_S = 10


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The spool of this version at `path`.

    Raises:
        Unavailable: there is none, or it cannot be used.
    """
    if not path.exists():
        raise Unavailable(f"there is no spool at {path}: has the bridge run here?")
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as db:
            schema.check_current(db, path)
            yield db
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error


def probe(path: Path) -> None:
    """Ask whether `run` could use the spool at `path`, or make one.

    Raises:
        Unavailable: it could not.
    """
    probe_sqlite(path)
    if path.exists() and path.stat().st_size:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with translate_errors(path), closing(sqlite3.connect(uri, uri=True)) as db:
            schema.check_readable(db, path)
