import sqlite3
import time
from contextlib import closing

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.archive import ArchiveSink

NOW_S = int(time.time())


def _row(
    unit: int,
    timestamp: int,
    reading: str = '"thermal":{"setpoint":190}',
    received_s: int | None = None,
) -> Row:
    device = f"oven-{unit:03}"
    payload = f'{{"device_id":"{device}","timestamp":{timestamp},{reading}}}'
    topic = f"sensors/factory/{device}/telemetry"
    received_ms = (received_s or timestamp) * 1000 + 7
    return to_row(Message(topic, payload.encode(), received_ms))


def _select(path, query: str):
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return reader.execute(query).fetchall()
    finally:
        reader.close()


def test_a_message_is_a_row_with_its_fields_as_columns(tmp_path):
    path = tmp_path / "a.sqlite"
    archive = ArchiveSink(path, 30)
    archive.write(
        [_row(1, NOW_S), _row(2, NOW_S, '"electrical":{"voltage":{"a":220.5}}')]
    )
    columns = (
        "facility, device_id, device_type, time_ms, received_ms,"
        " thermal_setpoint, electrical_voltage_a"
    )
    assert _select(path, f"SELECT {columns} FROM telemetry ORDER BY device_id") == [
        ("factory", "oven-001", "oven", NOW_S * 1000, NOW_S * 1000 + 7, 190.0, None),
        ("factory", "oven-002", "oven", NOW_S * 1000, NOW_S * 1000 + 7, None, 220.5),
    ]
    archive.close()


def test_a_message_written_twice_is_one_row_and_fields_merge(tmp_path):
    path = tmp_path / "a.sqlite"
    archive = ArchiveSink(path, 30)
    archive.write([_row(1, NOW_S)])
    archive.write([_row(1, NOW_S), _row(1, NOW_S, '"electrical":{"power_factor":0.9}')])
    query = "SELECT thermal_setpoint, electrical_power_factor FROM telemetry"
    assert _select(path, query) == [(190.0, 0.9)]
    archive.close()


def test_columns_of_an_earlier_run_are_known(tmp_path):
    path = tmp_path / "a.sqlite"
    for timestamp in (NOW_S, NOW_S + 1):
        archive = ArchiveSink(path, 30)
        archive.write([_row(1, timestamp)])
        archive.close()
    assert _select(path, "SELECT count(*) FROM telemetry") == [(2,)]


def test_retention_deletes_what_is_older_and_nothing_else(tmp_path):
    path = tmp_path / "a.sqlite"
    day = 24 * 3600
    with closing(ArchiveSink(path, 0)) as unlimited:
        unlimited.write([_row(1, NOW_S - 31 * day), _row(1, NOW_S - 29 * day)])
    archive = ArchiveSink(path, 30)
    archive.write([_row(1, NOW_S)])
    kept = _select(path, "SELECT time_ms FROM telemetry ORDER BY time_ms")
    assert kept == [((NOW_S - 29 * day) * 1000,), (NOW_S * 1000,)]
    archive.close()


def test_a_reading_of_long_ago_is_kept_as_long_as_any_other(tmp_path):
    path = tmp_path / "a.sqlite"
    archive = ArchiveSink(path, 30)
    archive.write([_row(1, 1_577_836_800, received_s=NOW_S)])
    archive.close()
    assert _select(path, "SELECT time_ms FROM telemetry") == [(1_577_836_800_000,)]


def test_a_locked_archive_is_unavailable_and_receives_the_rows_later(tmp_path):
    path = tmp_path / "a.sqlite"
    archive = ArchiveSink(path, 30)
    archive.write([_row(1, NOW_S)])
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    new_column = _row(2, NOW_S, '"electrical":{"frequency":50}')
    with pytest.raises(Unavailable, match="locked"):
        archive.write([new_column])
    other.rollback()
    other.close()
    archive.write([new_column])
    query = "SELECT electrical_frequency FROM telemetry WHERE device_id = 'oven-002'"
    assert _select(path, query) == [(50.0,)]
    archive.close()
