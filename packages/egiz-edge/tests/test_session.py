"""The session with the broker, the clock, and what both survive: the whole firmware."""

import datetime as dt
import time

from rig.device import DEVICE
from rig.process import free_port
from rig.waiting import eventually


def _complete(messages, count):
    """The messages from seq 0 in order, or nothing if one of the first is missing."""
    found = {m.seq: m for m in messages}
    is_complete = set(range(count)) <= set(found)
    return [found[seq] for seq in sorted(found)] if is_complete else []


def test_samples_from_before_the_time_was_known_get_their_true_time(
    device, mosquitto, live, chrony, hardware
):
    hardware.is_clock_set = False
    chrony.stop()
    started_s = time.time()
    running = device(mosquitto, publish_rate_ms=300, ntp=f"{chrony.host}:{chrony.port}")
    eventually(lambda: any("no time from" in line for line in running.output))
    chrony.start()
    messages = eventually(lambda: _complete(live.messages(DEVICE, "telemetry"), 5))
    assert any("time set by" in line for line in running.output)
    times_s = [m.timestamp + m.ms / 1000 for m in messages]
    assert all(started_s - 1 < told < time.time() + 1 for told in times_s)
    assert times_s == sorted(times_s)
    assert times_s[3] - times_s[0] > 0.8  # apart as they were measured
    assert {m.status.time_synced for m in messages} == {None}
    report = eventually(lambda: live.messages(DEVICE, "status")[1:])[-1]
    assert report.health.time_synced is None


def test_without_a_time_server_messages_say_that_their_time_is_an_estimate(
    device, mosquitto, live, hardware
):
    hardware.is_clock_set = False
    device(mosquitto, publish_rate_ms=500, ntp=f"127.0.0.1:{free_port()}")
    messages = eventually(lambda: live.messages(DEVICE, "telemetry")[1:], timeout=40)
    assert {m.status.time_synced for m in messages} == {False}
    year = dt.datetime.fromtimestamp(messages[0].timestamp, dt.UTC).year
    assert year == 2026  # when the firmware was built: a time of the contract
    assert live.messages(DEVICE, "status")[0].health.time_synced is False
