"""The clock of this machine is wrong for a while; the monotonic one is not."""

import json
import time

import pytest
from rig import stored
from rig.clock import FakeClock
from rig.publisher import Publisher
from rig.waiting import eventually

BEGIN_S = 1706352600
TOPIC = "sensors/factory/oven-001/telemetry"


@pytest.fixture
def clock(tmp_path):
    return FakeClock(tmp_path / "clock")


def _publish(mosquitto, first, end):
    with Publisher(mosquitto) as publisher:
        for number in range(first, end):
            message = {"device_id": "oven-001", "timestamp": BEGIN_S + number}
            message["thermal"] = {"setpoint": number + 0.5}
            publisher.publish(TOPIC, json.dumps(message))


@pytest.mark.parametrize("jump", ["+31d", "-31d", "+20000d"])
def test_a_clock_that_is_wrong_for_seconds_drops_nothing_of_the_spool(
    mosquitto, influxdb, bridge, clock, jump
):
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    influxdb.stop()
    running.start(env=clock.env)
    _publish(mosquitto, 0, 10)
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 10)
    clock.set(jump)
    _publish(mosquitto, 10, 20)
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 20)
    time.sleep(4.5)  # two rounds of maintenance
    clock.set("+0")
    time.sleep(2.5)  # and one more
    influxdb.start()
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 20, timeout=60)
    metrics = running.metrics()
    assert metrics["sink_expired_total/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0


def test_a_bridge_that_starts_a_month_ahead_keeps_archive_and_spool(
    mosquitto, influxdb, bridge, clock
):
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table, archive={})
    influxdb.stop()
    running.start(env=clock.env)
    _publish(mosquitto, 0, 10)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 10)
    running.kill()
    clock.set("+31d")
    running.start(env=clock.env)
    _publish(mosquitto, 10, 20)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 10)
    time.sleep(4.5)  # two rounds of maintenance
    assert len(stored.in_archive(running.archive)) == 20
    assert running.log.count("retention waits: the clock is ahead") == 1
    influxdb.start()
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 20, timeout=60)
    assert running.metrics()["sink_expired_total/influxdb"] == 0


def test_a_new_archive_after_a_jump_keeps_what_came_before_it(
    mosquitto, bridge, clock, tmp_path
):
    """It has no row yet that says what time it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    archive = disk / "archive.sqlite"
    running = bridge(mosquitto.url, archive={"path": str(archive)})
    running.start(env=clock.env)
    disk.rename(tmp_path / "away")
    _publish(mosquitto, 0, 10)
    eventually(lambda: running.metrics()["sink_spooled/archive"] == 10)
    clock.set("+31d")
    disk.mkdir()
    eventually(lambda: running.metrics()["sink_written_total/archive"] == 10)
    _publish(mosquitto, 10, 20)
    eventually(lambda: running.metrics()["sink_written_total/archive"] == 20)
    time.sleep(4.5)  # two rounds of maintenance
    assert len(stored.in_archive(archive)) == 20
    assert "archive retention: deleted" not in running.log
