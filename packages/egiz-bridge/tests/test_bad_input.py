"""Bad input: counted by reason, logged once, acknowledged, and never in the way."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from rig import stored
from rig.publisher import Publisher
from rig.servers import Mosquitto
from rig.waiting import eventually

GOOD = "sensors/factory/oven-001/telemetry"


def _telemetry(device_id="oven-001", timestamp=1706352600, **members):
    whole = {"device_id": device_id, "timestamp": timestamp, "thermal": {"setpoint": 1}}
    return json.dumps(whole | members).encode()


BAD = [
    (GOOD, b"{", "not_json"),
    (GOOD, b"\xff\xfe", "not_utf8"),
    (GOOD, b'{"device_id":"oven-001","thermal":{"setpoint":NaN}}', "not_json"),
    (GOOD, _telemetry("oven-002"), "device_mismatch"),
    (GOOD, _telemetry(thermal={"setpoint": "warm"}), "type"),
    (GOOD, _telemetry(thermal={"setpoint": 9999}), "range"),
    (GOOD, _telemetry(timestamp=1), "range"),
    (GOOD, _telemetry(v=9), "unsupported_version"),
    (GOOD, b" " * 1_000_000, "too_large"),
    ("sensors/factory/oven-001/readings", _telemetry(), "unknown_kind"),
    ("sensors/factory/oven/telemetry", _telemetry("oven"), "bad_device_id"),
    ("sensors/Factory/oven-001/telemetry", _telemetry(), "bad_facility"),
    ("sensors/oven-001/telemetry", _telemetry(), "wrong_levels"),
    ("sensors", _telemetry(), "wrong_levels"),
]
REPEATS = 5


@pytest.fixture
def broker(tmp_path):
    """A broker that lets a megabyte through; the shipped one does not."""
    server = Mosquitto(tmp_path / "mosquitto", "max_packet_size 2000000")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def publish(broker):
    """`publish(topic, payload)` at QoS 1; returns at the PUBACK."""
    with Publisher(broker) as publisher:
        yield publisher.publish


def _rejected(metrics):
    prefix = "messages_rejected_total/"
    return {
        name.removeprefix(prefix): count
        for name, count in metrics.items()
        if name.startswith(prefix)
    }


def test_every_kind_is_counted_by_reason_logged_once_and_acknowledged(
    broker, publish, bridge
):
    running = bridge(broker.url, archive={})
    running.start()
    for number in range(REPEATS):
        for topic, payload, _ in BAD:
            publish(topic, payload)
        publish(GOOD, _telemetry(timestamp=1706352600 + number))
    total = REPEATS * (len(BAD) + 1)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == total)
    expected = {}
    for _, _, reason in BAD:
        expected[reason] = expected.get(reason, 0) + REPEATS
    assert _rejected(running.metrics()) == expected
    assert len(stored.in_archive(running.archive)) == REPEATS

    reasons = re.findall(r"message rejected.*? reason=(\w+)", running.log)
    assert sorted(reasons) == sorted(expected)  # once each: it is one device
    assert running.stop() == 0


def test_a_rejection_is_logged_once_for_each_device_and_reason(broker, publish, bridge):
    running = bridge(broker.url, archive={})
    running.start()
    for device in ("oven-001", "oven-002", "oven-001", "oven-002"):
        publish(f"sensors/factory/{device}/telemetry", b"{")
    eventually(lambda: _rejected(running.metrics()) == {"not_json": 4})
    assert running.log.count("message rejected") == 2


def test_what_was_rejected_is_kept_and_nothing_comes_again(broker, publish, bridge):
    running = bridge(broker.url, archive={})
    running.start()
    publish(GOOD, b"{")
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)
    assert running.stop() == 0
    running.start()
    publish(GOOD, _telemetry())
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)
    assert running.metrics()["messages_received_total"] == 1


def test_config_and_commands_are_not_archived_and_not_rejected(broker, publish, bridge):
    running = bridge(broker.url, archive={})
    running.start()
    publish("sensors/factory/oven-001/config", b'{"device_id":"oven-001","rev":1}')
    publish(
        "sensors/factory/oven-001/command",
        b'{"device_id":"oven-001","id":"1","action":"reboot"}',
    )
    publish(GOOD, _telemetry())
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 3)
    metrics = running.metrics()
    assert metrics["messages_skipped_total/config_not_archived"] == 1
    assert metrics["messages_skipped_total/command_not_archived"] == 1
    assert metrics["messages_accepted_total"] == 1
    assert _rejected(metrics) == {}


def test_names_that_people_chose_stop_neither_their_command_nor_what_follows(
    broker, publish, bridge
):
    running = bridge(broker.url, archive={"kinds": ["telemetry", "command"]})
    running.start()
    names = ["Speed", "speed", 'a"b', 'x" INTEGER; DROP TABLE telemetry; --']
    for number, name in enumerate(names):
        order = {"device_id": "oven-001", "id": str(number), "action": "set"}
        order["args"] = {name: number}
        publish("sensors/factory/oven-001/command", json.dumps(order).encode())
        publish(GOOD, _telemetry(timestamp=1706352600 + number))
    total = 2 * len(names)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == total)
    with closing(sqlite3.connect(running.archive)) as db:
        db.row_factory = sqlite3.Row
        # Orders have no time of their own: those of one instant are one row.
        orders = map(dict, db.execute("SELECT * FROM command"))
        found = [row[name] for row in orders for name in row if name[:5] == "args_"]
        assert sorted(value for value in found if value is not None) == [0, 1, 2, 3]
        assert db.execute("SELECT count(*) FROM telemetry").fetchone()[0] == len(names)
    assert running.metrics()["sink_up/archive"] == 1


def test_a_retained_last_will_is_not_stored_again(broker, publish, bridge):
    publish(
        "sensors/factory/oven-001/status",
        b'{"device_id":"oven-001","state":"offline","boot":1}',
        retain=True,
    )
    running = bridge(broker.url, archive={})
    running.start()
    eventually(lambda: running.metrics()["messages_received_total"] == 1)
    assert running.metrics()["messages_skipped_total/retained_untimed"] == 1


def test_a_database_that_rejects_one_row_gets_all_the_others(
    broker, publish, bridge, influxdb
):
    """InfluxDB keeps the type of a field: a text field refuses a number."""
    influxdb_v1 = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(broker.url, influxdb=influxdb_v1)
    influxdb.write(b'telemetry thermal_setpoint="warm" 1706352599000')
    running.start()
    publish(GOOD, _telemetry(timestamp=1706352600))
    for number in range(50):
        payload = _telemetry(
            timestamp=1706352601 + number, thermal={"temperature_zones": [1.0]}
        )
        publish(GOOD, payload)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 51)
    metrics = running.metrics()
    assert metrics["sink_dead_total/influxdb"] == 1
    assert metrics["sink_written_total/influxdb"] == 50
    assert metrics["sink_unaccounted/influxdb"] == 0
    assert "rejected by the sink: dead letters" in running.log
    assert (
        len(influxdb.query("SELECT thermal_temperature_zones_0 FROM telemetry")) == 50
    )


def test_a_member_with_the_shape_of_another_ends_nothing(broker, publish, bridge):
    voltage = {"voltage": {"a": 220.5, "b": 219.8}}
    first = _telemetry(electrical=voltage, thermal={"setpoint": 190.0})
    second = _telemetry("oven-002", electrical2=voltage, thermal={"setpoint": 190.0})
    publish(GOOD, first, retain=True)
    publish(GOOD.replace("oven-001", "oven-002"), second, retain=True)
    running = bridge(broker.url, archive={})
    running.start()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 2)
    assert running.stop() == 0
    found = stored.in_archive(running.archive)
    points = {device_id: fields for (_, device_id, _), fields in found.items()}
    assert points["oven-001"].pop("electrical_voltage_a") == 220.5
    assert points["oven-001"].pop("electrical_voltage_b") == 219.8
    assert points["oven-001"] == points["oven-002"] == {"thermal_setpoint": 190.0}


def test_a_retained_message_that_is_cleared_is_no_dead_letter(broker, publish, bridge):
    running = bridge(broker.url, archive={})
    running.start()
    for topic in ("sensors/factory/oven-001/status", "sensors/factory/what/is/this"):
        publish(topic, b"", retain=True)
        publish(topic, b"")
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 4)
    metrics = running.metrics()
    assert metrics["messages_skipped_total/cleared"] == 4
    assert _rejected(metrics) == {}
    assert metrics["messages_received_total"] == 4
    assert "message rejected" not in running.log
    with closing(sqlite3.connect(running.spool)) as db:
        assert db.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)


def test_a_wrong_reading_is_dropped_counted_and_logged_once_and_the_rest_is_stored(
    broker, publish, bridge
):
    running = bridge(broker.url, archive={})
    running.start()
    for number in range(3):
        zones = {"temperature_zones": [185.0, -127.0, 188.5]}
        health = {"wifi_rssi": 31, "uptime_seconds": 5.0}
        publish(
            GOOD,
            _telemetry(timestamp=1706352600 + number, thermal=zones, status=health),
        )
    publish(GOOD, _telemetry(timestamp=1706352700, thermal={"setpoint": "warm"}))
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 4)
    metrics = running.metrics()
    assert metrics["readings_dropped_total/range"] == 6
    assert _rejected(metrics) == {"type": 1}  # of it, nothing was left
    found = stored.in_archive(running.archive)
    assert len(found) == 3
    for fields in found.values():
        assert fields == {
            "thermal_temperature_zones_0": 185.0,
            "thermal_temperature_zones_2": 188.5,
            "status_uptime_seconds": 5,
        }
    assert running.log.count("reading dropped") == 2  # one for each of the two places
    (device,) = json.loads(running.get("/devices")[1])["devices"]
    assert device["dropped_readings"] == 6


def test_telemetry_of_a_newer_contract_is_kept_until_an_upgrade(
    broker, publish, bridge
):
    running = bridge(broker.url, archive={})
    running.start()
    payload = _telemetry(thermal=None, seq=7, environment={"humidity": 55.5})
    publish(GOOD, payload)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)
    assert _rejected(running.metrics()) == {"unknown": 1}
    with closing(sqlite3.connect(running.spool)) as db:
        (kept,) = db.execute("SELECT payload FROM dead_letters").fetchone()
    assert kept == payload
