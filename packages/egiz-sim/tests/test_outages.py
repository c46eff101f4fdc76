"""Light devices keep their readings in an outage, and send them after it."""

import itertools
import json
from contextlib import closing

import pytest
from egiz_schema import Topic
from egiz_sim.outbox import Outbox
from rig.light_fleet import LightFleet
from rig.live import LiveSubscriber
from rig.waiting import eventually


@pytest.fixture
def between(mosquitto, proxy):
    """The network between devices and broker."""
    return proxy(mosquitto.host, mosquitto.port)


@pytest.fixture
def running(between, live):
    """Three devices, 20 readings a second each."""
    del live  # it is connected before the first message
    fleet = LightFleet(between, 3, 20)
    yield fleet
    fleet.stop()


def _telemetry(live, name="oven-001"):
    return live.messages(name, "telemetry")


def _firsts(readings):
    """Without those that came twice: QoS 1 is at least once."""
    found = {reading.seq: reading for reading in reversed(readings)}
    return sorted(found.values(), key=lambda r: readings.index(found[r.seq]))


def test_what_was_measured_in_an_outage_follows_in_order_and_is_marked(
    running, live, between
):
    eventually(lambda: len(_telemetry(live)) > 5)
    between.refuse()
    devices = running.fleet.devices
    eventually(lambda: all(device.waiting > 20 for device in devices))
    assert live.wills == {"oven-001", "mixer-001", "conveyor-001"}
    between.accept()
    eventually(lambda: not any(device.waiting for device in devices))
    before = len(_telemetry(live))
    eventually(lambda: len(_telemetry(live)) > before + 5)
    fleet = running.stop()
    assert fleet.published == fleet.acknowledged
    assert fleet.dropped == 0
    for device in fleet.devices:
        live.until_offline(device.device_id)
        readings = _firsts(_telemetry(live, device.device_id))
        published = device.counts.published["telemetry"]
        assert sorted(r.seq for r in readings) == list(range(published))
        buffered = [r.seq for r in readings if r.buffered]
        assert len(buffered) > 20
        assert buffered == list(range(buffered[0], buffered[0] + len(buffered)))
        now = [r.seq for r in readings if not r.buffered]
        assert now == sorted(now)  # replayed ones come between them, and hold none up
        times = sorted((r.seq, 1000 * r.timestamp + r.ms) for r in readings)
        assert all(b[1] - a[1] == 50 for a, b in itertools.pairwise(times))


def test_the_broker_keeps_the_newest_reading_and_no_history(
    running, live, between, mosquitto
):
    eventually(lambda: len(_telemetry(live)) > 5)
    between.refuse()
    eventually(lambda: running.fleet.devices[0].waiting > 20)
    between.accept()
    eventually(lambda: any(r.buffered for r in _telemetry(live)[:-10]))
    running.stop()
    live.until_offline("oven-001")
    last = max(r.seq for r in _telemetry(live) if not r.buffered)
    with closing(LiveSubscriber(mosquitto.host, mosquitto.port, "late")) as late:
        (kept,) = eventually(lambda: _telemetry(late))
    assert kept.seq == last
    assert not kept.buffered


def test_without_room_the_oldest_readings_are_dropped_and_counted(
    running, live, between
):
    config = {"device_id": "oven-001", "rev": 1, "buffer_size": 10}
    topic = Topic("factory", "oven-001", "config")
    live.publish(topic, json.dumps(config).encode(), retain=True)
    statuses = lambda: live.messages("oven-001", "status")  # noqa: E731
    eventually(lambda: any(s.config for s in statuses()))
    between.refuse()
    oven = running.fleet.devices[0]
    eventually(lambda: oven.dropped >= 10)
    between.accept()
    eventually(lambda: not oven.waiting)
    fleet = running.stop()
    live.until_offline("oven-001")
    birth = next(s.health for s in statuses() if s.health and s.health.dropped)
    assert birth.buffer_depth == 10
    published = oven.counts.published["telemetry"]
    received = {r.seq for r in _telemetry(live)}
    assert len(received) == published - oven.dropped
    assert fleet.published == fleet.acknowledged + fleet.dropped
    missing = sorted(set(range(published)) - received)
    assert missing == list(range(missing[0], missing[0] + oven.dropped))


def test_an_outbox_keeps_the_newest_and_gives_the_oldest_first():
    outbox = Outbox(3)
    for number in range(5):
        outbox.put(b'{"n":%d}' % number)
    assert (len(outbox), outbox.dropped) == (3, 2)
    assert outbox.take() == b'{"buffered":true,"n":2}'
    outbox.put_back([b'{"n":1}', b'{"buffered":true,"n":2}'])
    assert outbox.dropped == 3  # the oldest, again
    taken = [outbox.take() for _ in range(4)]
    assert taken == [*(b'{"buffered":true,"n":%d}' % n for n in (2, 3, 4)), None]
    outbox.put(b"{}")
    assert (outbox.clear(), len(outbox)) == (1, 0)


def test_a_device_without_a_buffer_keeps_one_reading():
    outbox = Outbox(5)
    outbox.resize(0)
    outbox.put(b'{"n":1}')
    outbox.put(b'{"n":2}')
    assert (len(outbox), outbox.dropped) == (1, 1)
