"""What a database holds, in one shape: fields by (kind, device id, time in ms)."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rig.servers import InfluxQl, VictoriaMetrics

Points = dict[tuple[str, str, int], dict[str, Any]]

_KINDS = ("telemetry", "status")
_OF_A_WILL = {"state", "boot"}
_NOT_FIELDS = {"facility", "device_id", "device_type", "time_ms", "received_ms", "time"}


def in_archive(path: Path) -> Points:
    """Of the SQLite archive, read as any other program would.

    The bridge makes the file with the first message; until then it holds nothing.

    Raises:
        BlockingIOError: after a kill, until a bridge has opened it.
    """
    if not path.exists():
        return {}
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    reader.row_factory = sqlite3.Row
    found: Points = {}
    try:
        tables = reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        kinds = [name for (name,) in tables if name in _KINDS]
        for kind in kinds:
            rows = list(reader.execute(f"SELECT * FROM {kind}"))
            for row in rows:
                assert row["device_type"] == row["device_id"].rpartition("-")[0]
                found[kind, row["device_id"], row["time_ms"]] = _fields(dict(row))
    except sqlite3.OperationalError as error:
        # What a bridge that was killed leaves is recovered when the next one opens it.
        if "readonly database" in str(error):
            raise BlockingIOError(str(error)) from error
        raise
    finally:
        reader.close()
    return found


def in_influxdb(server: InfluxQl, since_ms: int = 0) -> Points:
    """Of InfluxDB 1 or 2; those that are not older than `since_ms`, since 1970."""
    where = f"WHERE time >= {since_ms}ms"
    return {
        (kind, row["device_id"], row["time"]): _fields(row)
        for kind in _KINDS
        for row in server.query(f"SELECT * FROM {kind} {where} GROUP BY *")
    }


def in_victoriametrics(server: VictoriaMetrics) -> Points:
    """Of VictoriaMetrics, which keeps numbers only; a sample kept twice is an error."""
    found: Points = {}
    for series in server.series():
        kind, _, field = series["metric"]["__name__"].partition("_")
        device_id = series["metric"]["device_id"]
        assert len(set(series["timestamps"])) == len(series["timestamps"])
        for time_ms, value in zip(series["timestamps"], series["values"], strict=True):
            found.setdefault((kind, device_id, time_ms), {})[field] = value
    return found


def without_wills(points: Points) -> Points:
    """Points of messages that carry their time; a last will does not."""
    return {key: fields for key, fields in points.items() if set(fields) != _OF_A_WILL}


def as_numbers(points: Points) -> Points:
    """What VictoriaMetrics makes of points: a text is its number, or 0."""
    return {
        key: {name: _as_number(value) for name, value in fields.items()}
        for key, fields in points.items()
    }


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if name not in _NOT_FIELDS and value is not None
    }


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of an SQLite file: no other program can store anything."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")
