"""What the demo reads from the archive, as any other program could."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KINDS = ("telemetry", "status")
_RECENT_MS = 5000


@dataclass(frozen=True, slots=True)
class Latest:
    """The last archived telemetry of a device; None is what it does not measure."""

    state: str | None
    volts: float | None
    amperes: float | None
    celsius: float | None
    humidity: float | None
    weight_kg: float | None
    pieces: int | None


class ArchiveReader:
    """Reads while the bridge writes.

    Args:
        path: the archive.
        counted: ids of the devices to count; all if they are left out.
    """

    def __init__(self, path: Path, counted: frozenset[str] | None = None) -> None:
        self._path = path
        self._counted = counted
        self._last_row = 0
        self._ages_ms: list[int] = []

    def counts(self) -> dict[tuple[str, str], int]:
        """Archived messages by (device id, kind)."""
        found: dict[tuple[str, str], int] = {}
        with self._opened() as (db, kinds):
            for kind in kinds:
                query = f"SELECT device_id, count(*) FROM {kind} GROUP BY device_id"  # noqa: S608  # one of two names
                for device_id, count in db.execute(query):
                    if self._counted is None or device_id in self._counted:
                        found[device_id, kind] = count
        return found

    def latest(self) -> dict[str, Latest]:
        """The last telemetry of each device."""
        with self._opened() as (db, kinds):
            if "telemetry" not in kinds:
                return {}
            columns = {row[1] for row in db.execute("PRAGMA table_info(telemetry)")}
            rows = db.execute(
                f"SELECT max(time_ms), device_id, {_selected(columns)} FROM telemetry"  # noqa: S608  # columns are listed below
                " WHERE time_ms > ? GROUP BY device_id",
                (_now_ms() - _RECENT_MS,),
            ).fetchall()
        return {row[1]: Latest(*row[2:]) for row in rows}

    def poll(self) -> None:
        """Note the ages of messages that were archived since the last call."""
        with self._opened() as (db, kinds):
            if "telemetry" in kinds:
                new = db.execute(
                    "SELECT rowid, time_ms FROM telemetry WHERE rowid > ?",
                    (self._last_row,),
                ).fetchall()
                now_ms = _now_ms()
                self._ages_ms += [now_ms - time_ms for _, time_ms in new]
                self._last_row = max([self._last_row, *(row for row, _ in new)])

    def latency_ms(self) -> int | None:
        """Median age, when first seen here, of the messages since the last call."""
        ages, self._ages_ms = sorted(self._ages_ms), []
        return ages[len(ages) // 2] if ages else None

    @contextmanager
    def _opened(self) -> Iterator[tuple[sqlite3.Connection, list[str]]]:
        """The archive, and which of its tables exist already."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        # The bridge makes the file with the first message.
        exists = self._path.exists()
        db = sqlite3.connect(uri if exists else ":memory:", uri=exists)
        try:
            names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            yield db, [name for (name,) in names if name in _KINDS]
        finally:
            db.close()


_SHOWN = (
    "status_operational_state",
    "electrical_voltage_a",
    "electrical_current_a",
    "thermal_temperature_zones_0",
    "values_humidity",
    "values_weight",
    "counters_pieces",
)


def _selected(columns: set[Any]) -> str:
    """A column appears with the first message that has it; until then it is NULL."""
    return ", ".join(name if name in columns else "NULL" for name in _SHOWN)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
