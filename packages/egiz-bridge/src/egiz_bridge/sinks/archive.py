"""The SQLite archive: one table per kind, one row per message, plain SQL.

Columns appear with the first message that has them. A message written twice is one row;
as in InfluxDB, fields of a second message with the same device and time are merged in.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import add
from pathlib import Path
from typing import ClassVar

import structlog
from pydantic import Field

from egiz_bridge.batch import Row
from egiz_bridge.config.tables import DAYS_MAX
from egiz_bridge.database_file import DatabaseFile, translate_errors
from egiz_bridge.errors import FileDamaged, FileReplaced, Unavailable
from egiz_bridge.files import probe_sqlite
from egiz_bridge.sinks.columns import Columns, Values, merged, quoted
from egiz_bridge.sinks.retention import Retention, add_index, known_clock, prepare
from egiz_bridge.sinks.sink import FileSinkTable

_KEY = ("facility", "device_id", "time_ms")
_FIXED = (*_KEY, "device_type", "received_ms")
# Rows by (kind, names of fields): values of `_FIXED`, values of the fields.
_Groups = dict[tuple[str, tuple[str, ...]], tuple[list[Values], list[Values]]]

_log = structlog.get_logger()


class ArchiveTable(FileSinkTable):
    """The SQLite archive. Written to if given, or if there is no other sink."""

    key: ClassVar[str] = "archive"

    path: Path = Field(
        default=Path("egiz-archive.sqlite"), description="the SQLite file"
    )
    retention_days: int = Field(
        default=30,
        ge=0,
        le=DAYS_MAX,
        description="delete what was received before; 0 keeps all",
    )

    def open(self) -> "ArchiveSink":
        """The archive; its file is opened by the first write."""
        return ArchiveSink(self.path, self.retention_days)


class ArchiveSink:
    """The archive file; any number of others may read it while it is written.

    If it is removed, moved, replaced or damaged meanwhile, a new one is begun. Nothing
    counts as written before the file still had its name afterwards.
    """

    name = "archive"

    def __init__(self, path: Path, retention_days: int) -> None:
        self._path = path
        self._retention_days = retention_days
        self._file = DatabaseFile(path, prepare)
        self._retention: Retention | None = None
        self._clock = known_clock()
        self._columns: dict[str, Columns] = {}

    def write(self, rows: Sequence[Row]) -> None:
        """Store rows in one transaction, fsynced."""
        with self._looked_after() as retention:
            with self._file.transaction() as db:
                for (kind, fields), (fixed, values) in _grouped(rows).items():
                    columns, placed = self._columns_of(db, kind).place(fields, values)
                    written = map(add, fixed, placed)
                    db.executemany(_upsert(kind, columns), written)
            self._keep_name()
            retention.step()

    def maintain(self) -> None:
        """Look after the file, and delete what is too old."""
        if self._file.is_open or self._path.exists():
            with self._looked_after() as retention:
                probe_sqlite(self._path)
                retention.step()

    def probe(self) -> None:
        """Read the file, if there is one."""
        probe_sqlite(self._path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._retention = None
        self._columns.clear()

    @contextmanager
    def _looked_after(self) -> Iterator[Retention]:
        """Around what is done with the file: it is open, and has its name."""
        try:
            if self._file.is_open:
                self._keep_name()
            with translate_errors(self._path):
                yield self._opened()
        except FileDamaged as error:
            raise self._set_aside(error) from error
        except Unavailable:
            self._columns.clear()  # a column just added may have been rolled back
            raise

    def _opened(self) -> Retention:
        if self._retention is None:
            self._file.open()
            self._retention = Retention(self._file, self._retention_days, self._clock)
        return self._retention

    def _keep_name(self) -> None:
        if not (what := self._file.lost()):
            return
        self._file.finish()  # what is in it stays whole, wherever it is now
        if not self._file.is_whole:  # its log had not all of it
            raise FileDamaged(f"{self._path} {what}")
        self.close()
        _log.error(
            f"archive {what}: what was in it is where that file is, and the next write"
            " begins a new one; stop the bridge before you touch the file",
            path=str(self._path),
        )
        reason = f"{self._path} {what}; new messages are in a new file"
        raise FileReplaced(reason, is_damaged=False)

    def _set_aside(self, error: FileDamaged) -> FileReplaced:
        self.close()
        aside = self._file.set_aside()
        _log.error(
            "archive damaged: the file is renamed and the next write begins a new one"
            " (sqlite3's .recover may read it)",
            path=str(aside),
            why=str(error),
        )
        reason = f"{error}: renamed to {aside}, a new one is begun"
        return FileReplaced(reason, is_damaged=True)

    def _columns_of(self, db: sqlite3.Connection, kind: str) -> Columns:
        if kind not in self._columns:
            _create_table(db, kind)
            self._columns[kind] = Columns(db, kind)
        return self._columns[kind]


def _create_table(db: sqlite3.Connection, kind: str) -> None:
    db.execute(
        f'CREATE TABLE IF NOT EXISTS "{kind}" ('
        " facility TEXT NOT NULL, device_id TEXT NOT NULL, device_type TEXT NOT NULL,"
        " time_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,"
        " PRIMARY KEY (facility, device_id, time_ms))"
    )
    db.execute(f'CREATE INDEX IF NOT EXISTS "{kind}_time" ON "{kind}" (time_ms)')
    add_index(db, kind)


def _grouped(rows: Sequence[Row]) -> _Groups:
    """Rows with the same fields together: one statement writes them."""
    groups: _Groups = defaultdict(lambda: ([], []))
    for message, _ in rows:
        point = message.point()
        fixed, values = groups[point.kind, tuple(point.fields)]
        fixed.append(
            (
                point.facility,
                point.device_id,
                point.time_ms,
                point.device_type,
                message.received_ms,
            )
        )
        values.append(tuple(point.fields.values()))
    return groups


def _upsert(kind: str, columns: tuple[str, ...]) -> str:
    names = (*_FIXED, *map(quoted, columns))
    return (
        f'INSERT INTO "{kind}" ({", ".join(names)})'
        f" VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT ({', '.join(_KEY)})"
        f" DO UPDATE SET {', '.join(map(merged, columns))}"
    )
