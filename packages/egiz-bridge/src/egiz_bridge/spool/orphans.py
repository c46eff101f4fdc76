"""What waits in a spool and no bridge will write, and how another bridge gets it.

A sink was renamed or removed; the number of workers was changed, so that other files
are used; or a session at the broker is not used any more.
"""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from egiz_bridge.errors import Unavailable
from egiz_bridge.spool import schema
from egiz_bridge.spool.access import opened
from egiz_bridge.spool.notes import SESSION

_Row = tuple[Any, ...]
_AT_ONCE = 100  # batches, or letters: bounds memory, and how long a bridge waits
_WAITING = "sink, received_ms, messages, bytes, body"
_LETTERS = "sink, reason, detail, topic, payload, payload_bytes, received_ms"


class Contents(NamedTuple):
    """What is in a spool.

    Attributes:
        messages: that wait, by sink; replays among them.
        letters: dead letters, by the sink that rejected them.
        sessions: (client id, URL of the broker) that were used with it.
    """

    messages: Counter[str]
    letters: Counter[str]
    sessions: list[tuple[str, str]]


def contents(path: Path) -> Contents:
    """What is in the spool at `path`.

    Raises:
        Unavailable: it cannot be read.
    """
    with opened(path) as db:
        messages: Counter[str] = Counter()
        for table in ("batches", "replays"):
            query = f"SELECT sink, sum(messages) FROM {table} GROUP BY sink"  # noqa: S608  # of the line above
            messages.update(dict(db.execute(query).fetchall()))
        query = "SELECT sink, count(*) FROM dead_letters GROUP BY sink"
        letters = Counter(dict(db.execute(query).fetchall()))
        names = [name for (name,) in db.execute("SELECT name FROM notes")]
    found = [SESSION.fullmatch(name) for name in names]
    return Contents(messages, letters, [(m[1], m[2]) for m in found if m])


def files_beside(path: Path, used: Sequence[Path]) -> list[Path]:
    """Other spools of the same bridge, as it ran with other numbers of workers.

    Args:
        path: what `spool.path` names; workers add a number.
        used: those that are in use now; so is one that any program has open.
    """
    name = re.escape(path.stem) + r"(-\d+)?" + re.escape(path.suffix)
    try:
        there = sorted(path.parent.iterdir())
    except OSError:
        return []
    known = {os.path.realpath(one) for one in used}
    found = [one for one in there if re.fullmatch(name, one.name) and one.exists()]
    others = [one for one in found if os.path.realpath(one) not in known]
    return [one for one in others if not _is_open_elsewhere(one)]


def _is_open_elsewhere(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=0)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    except sqlite3.Error:
        return False  # whatever it is, it is listed
    return False


def adopt_sink(path: Path, sink: str, other: str) -> tuple[int, int]:
    """Have another sink get what waits for a sink; gives (messages, dead letters).

    Raises:
        Unavailable: the file cannot be written.
    """
    messages = 0
    with opened(path) as db:
        while found := _some(db, "batches", _WAITING, "sink = ?", (sink,)):
            with db:
                _insert(db, "replays", _WAITING, [(other, *row[2:]) for row in found])
                _delete(db, "batches", found)
            messages += sum(row[3] for row in found)
        with db:
            query = "SELECT total(messages) FROM replays WHERE sink = ?"
            messages += int(db.execute(query, (sink,)).fetchone()[0])
            query = "UPDATE replays SET sink = ? WHERE sink = ?"
            db.execute(query, (other, sink))
            query = "UPDATE dead_letters SET sink = ? WHERE sink = ?"
            letters = db.execute(query, (other, sink)).rowcount
    return messages, letters


def purge_sink(path: Path, sink: str) -> int:
    """Delete the messages that wait for a sink; gives how many.

    Raises:
        Unavailable: the file cannot be written.
    """
    deleted = 0
    with opened(path) as db, db:
        for table in ("batches", "replays"):
            query = f"DELETE FROM {table} WHERE sink = ? RETURNING messages"  # noqa: S608  # of the line above
            deleted += sum(n for (n,) in db.execute(query, (sink,)).fetchall())
    return deleted


def adopt_file(path: Path, other: Path) -> tuple[int, int]:
    """Move all of another spool into this one; gives (messages, dead letters).

    What is moved is in both files for a moment, never in none. The empty file is
    removed; a link to it stays, for the next file.

    Raises:
        Unavailable: one of them cannot be used; the other one by a bridge that runs.
    """
    messages = letters = 0
    try:
        with opened(path) as to, closing(_taken_over(path, other)) as db:
            for table in ("batches", "replays"):
                while found := _some(db, table, _WAITING):
                    _move(db, table, to, "replays", _WAITING, found)
                    messages += sum(row[3] for row in found)
            while found := _some(db, "dead_letters", _LETTERS):
                _move(db, "dead_letters", to, "dead_letters", _LETTERS, found)
                letters += len(found)
            while found := _some(db, "damaged", _WAITING):
                _move(db, "damaged", to, "damaged", _WAITING, found)
            notes = db.execute("SELECT * FROM notes").fetchall()
            with to:
                to.executemany("INSERT OR IGNORE INTO notes VALUES (?, ?)", notes)
            Path(os.path.realpath(other)).unlink()
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{other}: {error}") from error
    return messages, letters


def _taken_over(path: Path, other: Path) -> sqlite3.Connection:
    """Another spool, which no other program has open; an older one is converted."""
    if not other.is_file() or other.samefile(path):
        raise Unavailable(f"there is no other spool at {other}")
    db = sqlite3.connect(other)
    try:
        schema.check_readable(db, other)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = DELETE")
        schema.prepare(db, other, 0)
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        reason = "another program uses it; is it a bridge that runs?"
        raise Unavailable(f"{other}: {reason}") from error
    except BaseException:
        db.close()
        raise
    return db


def _some(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    where: str = "1",
    values: Sequence[object] = (),
) -> list[_Row]:
    query = f"SELECT id, {columns} FROM {table} WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608  # names of this module
    found: list[_Row] = db.execute(query, (*values, _AT_ONCE)).fetchall()
    return found


def _move(
    db: sqlite3.Connection,
    table: str,
    to: sqlite3.Connection,
    target: str,
    columns: str,
    rows: Sequence[_Row],
) -> None:
    with to:
        _insert(to, target, columns, [row[1:] for row in rows])
    with db:
        _delete(db, table, rows)


def _insert(
    db: sqlite3.Connection,
    table: str,
    columns: str,
    rows: Sequence[_Row],
) -> None:
    marks = ", ".join("?" * (columns.count(",") + 1))
    query = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  # names of this module
    db.executemany(query, rows)


def _delete(db: sqlite3.Connection, table: str, rows: Sequence[_Row]) -> None:
    query = f"DELETE FROM {table} WHERE id = ?"  # noqa: S608  # names of this module
    db.executemany(query, [(row[0],) for row in rows])


def forget_session(path: Path, client_id: str) -> None:
    """Remove the notes on a session that has ended.

    Raises:
        Unavailable: the file cannot be written.
    """
    with opened(path) as db, db:
        names = [name for (name,) in db.execute("SELECT name FROM notes")]
        for name in names:
            if (found := SESSION.fullmatch(name)) and found[1] == client_id:
                db.execute("DELETE FROM notes WHERE name = ?", (name,))
