"""The tables of the spool's file, their version, and how an older one is converted.

`PRAGMA user_version` is the version. Files of before it was written (0) have one of
five forms; what is missing in them is added. A newer version is refused: what it means
is not known here.
"""

import sqlite3
from pathlib import Path

import structlog

from egiz_bridge.errors import Unavailable

VERSION = 1

_WAITING = """(
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, received_ms INTEGER NOT NULL,
    messages INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
)"""
_TABLES = {
    "batches": _WAITING,
    "damaged": _WAITING,
    "replays": _WAITING,
    "dead_letters": """(
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL, received_ms INTEGER NOT NULL
)""",
    "notes": "(name TEXT PRIMARY KEY, text TEXT NOT NULL)",
}
_INDEX = (
    "CREATE INDEX batches_of_sink ON batches (sink, id, received_ms, messages, bytes)"
)
# What a sink was called before, in files of version 0.
_RENAMED_SINKS = {"lines": "line_protocol"}
# Its columns of before it had `received_ms`.
_WITHOUT_AGE = "id, sink, messages, bytes, body"

_log = structlog.get_logger()


def prepare(db: sqlite3.Connection, path: Path, now_ms: int) -> None:
    """Make the tables, or convert those of an older version.

    Args:
        db: not within a transaction.
        path: for messages.
        now_ms: since when batches wait that do not say so.

    Raises:
        Unavailable: the file is of a newer version, or of another program.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _tables(db)
        if _version(db) != VERSION or not found:
            _check(db, found, path)
            _convert(db, found, now_ms)
            db.execute(f"PRAGMA user_version = {VERSION}")
            if found:
                _log.info("spool converted", path=str(path), version=VERSION)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def check_readable(db: sqlite3.Connection, path: Path) -> None:
    """Raise for what `prepare` would refuse, and for an empty file; nothing is changed.

    Raises:
        Unavailable: the file is of a newer version, or no spool.
    """
    found = _tables(db)
    _check(db, found or {"none"}, path)


def check_current(db: sqlite3.Connection, path: Path) -> None:
    """For the commands, which convert nothing: an older bridge may still run.

    Raises:
        Unavailable: the file is of another version, or of another program.
    """
    check_readable(db, path)
    if _version(db) != VERSION:
        reason = "of an older bridge; `egiz-bridge run` converts it at its start"
        raise Unavailable(f"{path} is {reason}")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _tables(db: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    return {name for (name,) in db.execute(query)}


def _check(db: sqlite3.Connection, found: set[str], path: Path) -> None:
    version = _version(db)
    if found and not {"batches", "dead_letters"} <= found:
        reason = "it has the tables of another program; give the spool its own"
        raise Unavailable(f"{path} is no spool: {reason}")
    if version > VERSION:
        reason = f"version {version}; this one reads up to {VERSION}"
        step = "install that bridge, or move the file away while no bridge runs"
        raise Unavailable(f"{path} is of a newer bridge ({reason}): {step}")


def _convert(db: sqlite3.Connection, found: set[str], now_ms: int) -> None:
    """Bring any of the forms of version 0, the empty one as well, to this version."""
    db.execute("DROP INDEX IF EXISTS batches_of_sink")
    for table, columns in _TABLES.items():
        if table not in found:
            db.execute(f"CREATE TABLE {table} {columns}")
        elif columns is _WAITING and "received_ms" not in _columns(db, table):
            _add_age(db, table, now_ms)
    db.execute(_INDEX)
    for table in ("batches", "damaged", "replays", "dead_letters"):
        for before, now in _RENAMED_SINKS.items():
            update = f"UPDATE {table} SET sink = ? WHERE sink = ?"  # noqa: S608  # of the list above
            db.execute(update, (now, before))


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _add_age(db: sqlite3.Connection, table: str, now_ms: int) -> None:
    """Rebuild a table of before batches had an age; what it has waits from now on."""
    db.execute(f"ALTER TABLE {table} RENAME TO older")
    db.execute(f"CREATE TABLE {table} {_TABLES[table]}")
    db.execute(
        f"INSERT INTO {table} ({_WITHOUT_AGE}, received_ms)"  # noqa: S608  # names of this module
        f" SELECT {_WITHOUT_AGE}, ? FROM older",
        (now_ms,),
    )
    db.execute("DROP TABLE older")


def carry_over(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy all of a file into another, within a transaction of that.

    What waits in the other file already becomes replays: the bridge has not counted it.
    Batches keep their ids, which writers know.
    """
    columns = "sink, received_ms, messages, bytes, body"
    target.execute(
        f"INSERT INTO replays ({columns}) SELECT {columns} FROM batches"  # noqa: S608  # names of this module
    )
    target.execute("DELETE FROM batches")
    for table in _TABLES:
        has_id = table == "batches"
        names = [n for n in sorted(_columns(source, table)) if n != "id" or has_id]
        marks = ", ".join("?" * len(names))
        order = "" if table == "notes" else " ORDER BY id"
        rows = source.execute(f"SELECT {', '.join(names)} FROM {table}{order}")  # noqa: S608  # as above
        target.executemany(
            f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608  # as above
            rows,
        )
