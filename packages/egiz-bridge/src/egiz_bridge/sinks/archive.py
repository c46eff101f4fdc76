"""The SQLite archive: one table per kind, one row per message, plain SQL.

Columns appear with the first message that has them. A message written twice is one row;
as in InfluxDB, fields of a second message with the same device and time are merged in.
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.files import probe_sqlite
from egiz_bridge.sinks.sink import FileSinkTable

_KEY = ("facility", "device_id", "time_ms")
_FIXED = (*_KEY, "device_type", "received_ms")
# Values of rows by (kind, names of fields).
_Groups = dict[tuple[str, tuple[str, ...]], list[tuple[object, ...]]]

_DAY_MS = 24 * 3600 * 1000
_RETENTION_EVERY_S = 3600.0
# A delete of this size holds up writes for tens of milliseconds.
_RETENTION_ROWS = 10_000


class ArchiveTable(FileSinkTable):
    """The SQLite archive. Written to if given, or if there is no other sink."""

    key: ClassVar[str] = "archive"

    path: Path = Field(
        default=Path("egiz-archive.sqlite"), description="the SQLite file"
    )
    retention_days: int = Field(
        default=30, ge=0, description="delete what was received before; 0 keeps all"
    )

    def open(self) -> "ArchiveSink":
        """The archive; its file is opened by the first write."""
        return ArchiveSink(self.path, self.retention_days)


class ArchiveSink:
    """The archive file; any number of others may read it while it is written."""

    name = "archive"

    def __init__(self, path: Path, retention_days: int) -> None:
        self._path = path
        self._retention_days = retention_days
        self._retention_due = 0.0
        self._columns: dict[str, set[str]] = {}
        self._db: sqlite3.Connection | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """Store rows in one transaction, fsynced."""
        try:
            db = self._opened()
            with db:
                for (kind, fields), values in _grouped(rows).items():
                    self._add_columns(db, kind, fields)
                    db.executemany(_upsert(kind, fields), values)
            self._keep_retention(db)
        except sqlite3.Error as error:
            self._columns.clear()  # a column just added may have been rolled back
            raise Unavailable(f"{self._path}: {error}") from error

    def probe(self) -> None:
        """Read the file, if there is one."""
        probe_sqlite(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self._path, timeout=5)
            try:
                # Readers do not stop the writer, and stored means fsynced.
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db

    def _add_columns(
        self, db: sqlite3.Connection, kind: str, fields: tuple[str, ...]
    ) -> None:
        known = self._columns.get(kind)
        if known is None:
            known = self._columns[kind] = _create_table(db, kind)
        for field in fields:
            if field not in known:
                db.execute(f'ALTER TABLE "{kind}" ADD COLUMN "{field}"')
                known.add(field)

    def _keep_retention(self, db: sqlite3.Connection) -> None:
        if not self._retention_days or time.monotonic() < self._retention_due:
            return
        oldest_ms = time.time_ns() // 1_000_000 - self._retention_days * _DAY_MS
        deleted = 0
        for kind in self._columns:
            with db:
                deleted += db.execute(_DELETE.format(kind), (oldest_ms,)).rowcount
        if deleted < _RETENTION_ROWS:
            self._retention_due = time.monotonic() + _RETENTION_EVERY_S


# SQL is composed of the contract's own words only (kinds and field names).
# By receipt, not by the time of the reading: what a device with a wrong clock sent, or
# an outage delayed, is kept as long as anything else. Rows are numbered as they come.
_DELETE = (
    'DELETE FROM "{0}" WHERE received_ms < ? AND rowid IN'
    f' (SELECT rowid FROM "{{0}}" ORDER BY rowid LIMIT {_RETENTION_ROWS})'
)


def _create_table(db: sqlite3.Connection, kind: str) -> set[str]:
    db.execute(
        f'CREATE TABLE IF NOT EXISTS "{kind}" ('
        " facility TEXT NOT NULL, device_id TEXT NOT NULL, device_type TEXT NOT NULL,"
        " time_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,"
        " PRIMARY KEY (facility, device_id, time_ms))"
    )
    db.execute(f'CREATE INDEX IF NOT EXISTS "{kind}_time" ON "{kind}" (time_ms)')
    return {row[1] for row in db.execute(f'PRAGMA table_info("{kind}")')}


def _grouped(rows: Sequence[Row]) -> _Groups:
    """Rows with the same fields together: one statement writes them."""
    groups: _Groups = defaultdict(list)
    for message, _ in rows:
        point = message.point()
        values = (
            point.facility,
            point.device_id,
            point.time_ms,
            point.device_type,
            message.received_ms,
            *point.fields.values(),
        )
        groups[point.kind, tuple(point.fields)].append(values)
    return groups


def _upsert(kind: str, fields: tuple[str, ...]) -> str:
    columns = (*_FIXED, *fields)
    names = ", ".join(f'"{name}"' for name in columns)
    merged = ", ".join(f'"{name}" = excluded."{name}"' for name in fields)
    return (
        f'INSERT INTO "{kind}" ({names})'
        f" VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {merged}"
    )
