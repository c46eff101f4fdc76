"""Deletes the rows of the archive that are older than its retention, a few at a time.

By receipt, not by the time of the reading: what a device with a wrong clock sent, or an
outage delayed, is kept as long as anything else.
"""

import sqlite3
import time
from datetime import UTC, datetime

import structlog

from egiz_bridge.confirmed_clock import ConfirmedClock, wall_ms
from egiz_bridge.database_file import DatabaseFile

_DAY_MS = 24 * 3600 * 1000
_EVERY_S = 600.0
# A delete of this size holds up writes for tens of milliseconds.
_ROWS = 10_000
# An index on more rows is not made while messages wait.
_INDEXED_MAX = 3_000_000
_MAKE = "CREATE TABLE IF NOT EXISTS retention (confirmed_ms INTEGER NOT NULL)"

_log = structlog.get_logger()


class Retention:
    """Of one open file.

    Args:
        file: the archive, open.
        days: how long a row is kept; 0 for ever.
        known: what time it is, as far as this run knows.
    """

    def __init__(self, file: DatabaseFile, days: int, known: ConfirmedClock) -> None:
        self._file = file
        self._known = known
        self._days = days
        self._clock: ConfirmedClock | None = None
        if (last_ms := _last_ms(file.db)) is not None:
            self._clock = ConfirmedClock(last_ms)
        self._due_s = 0.0
        self._deleted = 0

    def step(self) -> None:
        """Delete the oldest rows if there are too old ones; call it often.

        Raises:
            FileDamaged, Unavailable: as `DatabaseFile.transaction`.
        """
        if time.monotonic() < self._due_s:
            return
        if self._clock is None:
            # Of a new file. Its first rows may have come before a jump of the clock.
            self._clock = ConfirmedClock(self._known.now_ms())
        now_ms = self._clock.now_ms()
        oldest_ms = now_ms - self._days * _DAY_MS
        found = 0
        if self._days:
            found = sum(self._delete(kind, oldest_ms) for kind in kinds(self._file.db))
        self._deleted += found
        if not found:
            self._end(now_ms, oldest_ms)

    def _delete(self, kind: str, oldest_ms: int) -> int:
        with self._file.transaction() as db:
            order = "received_ms" if _is_indexed(db, kind) else "rowid"
            named = {"oldest_ms": oldest_ms}
            return db.execute(delete(kind, _ROWS, order), named).rowcount

    def _end(self, now_ms: int, oldest_ms: int) -> None:
        """All that is too old is deleted: say so, and what time it is."""
        if self._deleted:
            oldest = datetime.fromtimestamp(oldest_ms / 1000, UTC)
            _log.info(
                "archive retention: deleted what was received before",
                before=f"{oldest:%Y-%m-%dT%H:%M:%SZ}",
                rows=self._deleted,
            )
        self._deleted = 0
        self._due_s = time.monotonic() + _EVERY_S
        with self._file.transaction() as db:
            db.execute("DELETE FROM retention")
            db.execute("INSERT INTO retention VALUES (?)", (now_ms,))


def known_clock() -> ConfirmedClock:
    """For files that are begun later in this run, after a jump of the clock maybe."""
    return ConfirmedClock(wall_ms())


def prepare(db: sqlite3.Connection) -> None:
    """Make what the retention needs, also in a file of an earlier bridge."""
    db.execute(_MAKE)
    for kind in kinds(db):
        add_index(db, kind)


def delete(kind: str, rows: int, order: str) -> str:
    """A statement that deletes some of the oldest rows.

    Args:
        kind: the table.
        rows: how many at most.
        order: `received_ms`, or `rowid` where that has no index: of the rows that stand
            first, then.
    """
    first = f'SELECT rowid, received_ms FROM "{kind}"'  # noqa: S608  # names of tables
    if order == "received_ms":
        first += " WHERE received_ms < :oldest_ms"
    first += f" ORDER BY {order} LIMIT {rows:d}"
    oldest = f"SELECT rowid FROM ({first}) WHERE received_ms < :oldest_ms"  # noqa: S608  # as above
    return f'DELETE FROM "{kind}" WHERE rowid IN ({oldest})'  # noqa: S608  # as above


def add_index(db: sqlite3.Connection, kind: str) -> None:
    """Have the oldest rows of a table found wherever they stand."""
    if _is_indexed(db, kind):
        return
    query = f'SELECT max(rowid) FROM "{kind}"'  # noqa: S608  # as above
    make = f'CREATE INDEX "{kind}_received" ON "{kind}" (received_ms)'
    if (db.execute(query).fetchone()[0] or 0) <= _INDEXED_MAX:
        db.execute(make)
        return
    _log.warning(
        "archive retention: rows that stand behind newer ones are not found; to change"
        " that, stop the bridge and run next_step in sqlite3, which takes minutes",
        next_step=make,
    )


def _is_indexed(db: sqlite3.Connection, kind: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
    return db.execute(query, (f"{kind}_received",)).fetchone() is not None


def kinds(db: sqlite3.Connection) -> list[str]:
    """The tables with messages."""
    query = (
        "SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND c.name = 'time_ms'"
    )
    return [name for (name,) in db.execute(query).fetchall()]


def _last_ms(db: sqlite3.Connection) -> int | None:
    """What time it was when the file was written last; nothing of a new one."""
    found = [db.execute("SELECT max(confirmed_ms) FROM retention").fetchone()[0]]
    if found == [None]:  # of an earlier bridge, or new
        query = 'SELECT max(received_ms) FROM "{}"'
        found = [db.execute(query.format(kind)).fetchone()[0] for kind in kinds(db)]
    return max((ms for ms in found if ms is not None), default=None)
