import json
import sqlite3
import time
from contextlib import closing

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.archive import ArchiveSink
from egiz_bridge.sinks.columns import COLUMNS_MAX

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


def _command(timestamp: int, arguments: dict[str, object]) -> Row:
    payload = {
        "device_id": "oven-001",
        "id": str(timestamp),
        "action": "set",
        "args": arguments,
    }
    topic = "sensors/factory/oven-001/command"
    return to_row(Message(topic, json.dumps(payload).encode(), timestamp * 1000))


_NAMES = [
    ["Speed", "speed", "SPEED"],
    ['a"b', "a'b", "a`b", "[ab]", "a;b", "--", "a b", "a,b", "a=b"],
    ['x" INTEGER; DROP TABLE telemetry; --'],
    ["speed (3ac71aa6)", "speed", "Speed"],
    ["rowid", "ROWID", "select", "%s", "?", ":a", "{0}"],
]


@pytest.mark.parametrize("names", _NAMES)
def test_names_that_people_chose_are_stored_each_with_its_value(tmp_path, names):
    path = tmp_path / "a.sqlite"
    telemetry = _row(1, NOW_S)
    with closing(ArchiveSink(path, 30)) as archive:
        archive.write([telemetry])
        for second, name in enumerate(names):
            archive.write([_command(NOW_S + second, {name: second})])
        together = dict(zip(names, range(100, 200), strict=False))
        archive.write([_command(NOW_S + 50, together)])
    with closing(ArchiveSink(path, 30)) as archive:  # it knows the columns again
        archive.write([_command(NOW_S + 51, together)])
        archive.write([_command(NOW_S + 51, together)])  # and again
    assert _select(path, "SELECT thermal_setpoint FROM telemetry") == [(190.0,)]
    with closing(sqlite3.connect(path)) as reader:
        reader.row_factory = sqlite3.Row
        stored = [
            {
                k: v
                for k, v in dict(row).items()
                if k.startswith("args_") and v is not None
            }
            for row in reader.execute("SELECT * FROM command ORDER BY time_ms")
        ]
    columns = [next(iter(row)) for row in stored[: len(names)]]
    assert len({name.lower() for name in columns}) == len(names)
    assert [list(row.values()) for row in stored[: len(names)]] == [
        [second] for second in range(len(names))
    ]
    for row in stored[len(names) :]:
        assert row == dict(zip(columns, together.values(), strict=True))
    assert len(stored) == len(names) + 2


def test_a_name_keeps_its_spelling_unless_another_differs_in_case_only(tmp_path):
    path = tmp_path / "a.sqlite"
    with closing(ArchiveSink(path, 30)) as archive:
        archive.write(
            [_command(NOW_S, {"Speed": 1}), _command(NOW_S + 1, {"speed": 2})]
        )
    query = 'SELECT args_Speed, "args_speed (30883cb6)" FROM command ORDER BY time_ms'
    assert _select(path, query) == [(1, None), (None, 2)]


def test_fields_without_room_for_a_column_are_kept_as_json(tmp_path):
    """A device that invents names stops neither its own messages nor others."""
    path = tmp_path / "a.sqlite"
    devices = 2 * COLUMNS_MAX // 30
    with closing(ArchiveSink(path, 30)) as archive:
        for number in range(devices):
            values = ",".join(f'"v{number}_{n}":{n}' for n in range(30))
            archive.write([_row(number, NOW_S, f'"values":{{{values}}}')])
        archive.write([_row(1, NOW_S + 1)])  # a field that had no column yet
        archive.write([_row(1, NOW_S + 1, '"values":{"a":1.5},"contacts":{"b":true}')])
        archive.write([_row(1, NOW_S + 1, '"values":{"c":2}')])
    (columns,) = _select(path, "SELECT count(*) FROM pragma_table_info('telemetry')")
    assert columns == (COLUMNS_MAX + 1,)
    (newest,) = _select(
        path, f"SELECT other_fields FROM telemetry WHERE time_ms = {(NOW_S + 1) * 1000}"
    )
    assert json.loads(*newest) == {
        "thermal_setpoint": 190.0,
        "values_a": 1.5,
        "contacts_b": True,
        "values_c": 2.0,
    }
    last = (
        f"SELECT other_fields FROM telemetry WHERE device_id = 'oven-{devices - 1:03}'"
    )
    assert json.loads(*_select(path, last)[0]) == {
        f"values_v{devices - 1}_{n}": float(n) for n in range(30)
    }
