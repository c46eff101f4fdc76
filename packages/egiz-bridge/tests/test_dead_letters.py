"""Dead letters and spool, as an operator sees them: the bridge runs meanwhile."""

import json

import pytest
from rig import stored
from rig.publisher import Publisher
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
T0 = 1706352600


def _telemetry(number, setpoint=1.0):
    thermal = {"setpoint": setpoint}
    message = {"device_id": "oven-001", "timestamp": T0 + number, "thermal": thermal}
    return json.dumps(message).encode()


@pytest.fixture
def operate(launch):
    """`operate(bridge, "dlq", "list")` gives (exit code, output)."""

    def run(bridge, *arguments):
        process = launch("egiz-bridge", *arguments, "--config", str(bridge.config))
        code = process.wait()
        assert "Traceback" not in process.output()
        return code, process.output()

    return run


@pytest.fixture
def refused(mosquitto, influxdb, bridge):
    """A running bridge, with a database that has refused 3 of 6 messages."""
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    influxdb.write(b'telemetry thermal_setpoint="warm" %d000' % (T0 - 1))
    running.start()
    with Publisher(mosquitto) as publisher:
        for number in range(3):
            publisher.publish(TOPIC, _telemetry(number))
            zones = {"temperature_zones": [1.0]}
            message = {"device_id": "oven-001", "timestamp": T0 + 100 + number}
            publisher.publish(TOPIC, json.dumps(message | {"thermal": zones}).encode())
        publisher.publish(TOPIC, b"{")
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 7)
    assert running.metrics()["sink_dead_total/influxdb"] == 3
    return running


def test_letters_are_counted_by_reason_and_shown(refused, operate):
    code, output = operate(refused, "dlq", "list")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].split() == ["3", "field_type_conflict", "influxdb"]
    assert lines[1].split() == ["1", "not_json", "not", "of", "the", "contract"]
    assert len(lines) == 2 + 4
    newest = lines[2].split()
    assert operate(refused, "dlq", "list", "--reason", "not_json")[1].count(TOPIC) == 1
    code, output = operate(refused, "dlq", "show", newest[0])
    assert code == 0
    assert TOPIC in output


def test_replayed_letters_are_written_once_the_cause_is_repaired(
    refused, operate, influxdb
):
    influxdb.query("DROP MEASUREMENT telemetry")  # which forgets the field's type
    code, output = operate(refused, "dlq", "replay", "--reason", "field_type_conflict")
    assert (code, output) == (0, "3 handed to the bridge\n")
    eventually(lambda: refused.metrics()["sink_written_total/influxdb"] == 6)
    metrics = refused.metrics()
    assert metrics["sink_spooled/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0
    found = stored.in_influxdb(influxdb)
    assert {time_ms for _, _, time_ms in found} == {(T0 + n) * 1000 for n in range(3)}
    assert operate(refused, "dlq", "list")[1].splitlines()[0].split()[1] == "not_json"


def test_a_letter_that_fails_again_is_a_letter_again(refused, operate):
    assert operate(refused, "dlq", "replay", "--all")[0] == 0
    eventually(lambda: refused.metrics()["sink_dead_total/influxdb"] == 3 + 4)
    lines = operate(refused, "dlq", "list")[1].splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [
        ["3", "field_type_conflict"],
        ["1", "not_json"],
    ]
    assert refused.metrics()["sink_unaccounted/influxdb"] == 0


def test_letters_of_a_stopped_bridge_wait_for_its_start(refused, operate, influxdb):
    assert refused.stop() == 0
    influxdb.query("DROP MEASUREMENT telemetry")
    assert operate(refused, "dlq", "replay", "--reason", "field_type_conflict")[0] == 0
    refused.start()
    eventually(lambda: refused.metrics()["sink_written_total/influxdb"] == 3)
    assert len(stored.in_influxdb(influxdb)) == 3


def test_purged_letters_are_gone(refused, operate):
    letter = operate(refused, "dlq", "list")[1].splitlines()[2].split()[0]
    assert operate(refused, "dlq", "purge", letter)[1] == "1 deleted\n"
    assert operate(refused, "dlq", "purge", "--all")[1] == "3 deleted\n"
    assert "no dead letters" in operate(refused, "dlq", "list")[1]


def test_spool_status_shows_what_waits_for_each_sink(
    mosquitto, influxdb, bridge, operate
):
    influxdb.stop()
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    with Publisher(mosquitto) as publisher:
        for number in range(5):
            publisher.publish(TOPIC, _telemetry(number))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 5)
    code, output = operate(running, "spool", "status")
    assert code == 0
    assert output.splitlines()[0].split()[:3] == ["influxdb", "5", "messages,"]
    assert "0 dead letters" in output


@pytest.mark.parametrize("command", ["replay", "purge"])
def test_replay_and_purge_need_a_selection_of_letters(refused, operate, command):
    code, output = operate(refused, "dlq", command)
    assert code == 2
    assert "give IDS, --reason or --all" in output


def test_a_bridge_that_never_ran_has_no_spool(mosquitto, bridge, operate):
    code, output = operate(bridge(mosquitto.url, archive={}), "dlq", "list")
    assert code == 1
    assert "there is no spool at" in output
