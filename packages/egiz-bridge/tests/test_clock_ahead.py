"""A device whose clock is ahead: its times are put back, its messages stay apart."""

import random

import pytest
from egiz_bridge.batch import AHEAD_MAX_MS, Batch
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.packets import Publish
from egiz_bridge.pipeline import intake
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.archive import ArchiveTable

NOW_MS = 1_750_000_000_123
PAYLOAD = b'{"device_id":"%b","timestamp":%d,"ms":%d,"thermal":{"setpoint":1}}'
TOPIC = b"sensors/factory/%b/telemetry"


@pytest.fixture
def receive(monkeypatch):
    """`receive([(device, ms), ...], now_ms)`: the points of the messages of a read."""
    batches: list[Batch] = []
    entry = intake.Intake(Ledger(), Devices(), batches.append)
    entry.configure([ArchiveTable()])

    def read(messages, now_ms=NOW_MS):
        monkeypatch.setattr(intake.time, "time_ns", lambda: now_ms * 1_000_000)
        packets = [
            Publish(
                TOPIC % device, PAYLOAD % (device, *divmod(time_ms, 1000)), number, 0
            )
            for number, (device, time_ms) in enumerate(messages, 1)
        ]
        entry.receive(packets, 0)
        entry.flush()
        rows = batches.pop().rows
        points = [row.message.point() for row in rows]
        assert [to_row(row.message).line for row in rows] == [row.line for row in rows]
        assert all(
            b"%d" % point.time_ms in row.line
            for point, row in zip(points, rows, strict=True)
        )
        return points

    return read


def _distances(points):
    return [point.time_ms - points[0].time_ms for point in points]


@pytest.mark.parametrize("step_ms", [1, 1000, 7_500, 600_000])
@pytest.mark.parametrize("ahead_ms", [AHEAD_MAX_MS + 1000, 600_000, 31_536_000_000])
def test_a_burst_keeps_its_distances(receive, ahead_ms, step_ms):
    sent = [(b"oven-001", NOW_MS + ahead_ms + n * step_ms) for n in range(100)]
    points = receive(sent[:40]) + receive(sent[40:], NOW_MS + 900)
    assert _distances(points) == [n * step_ms for n in range(100)]
    assert points[0].time_ms == NOW_MS
    assert all(point.fields["time_corrected"] for point in points)


def test_what_was_buffered_comes_before_what_is_live(receive):
    """What is new is sent first: it says by how much the clock is ahead."""
    ahead_ms = 7_200_000
    sent = [(b"oven-001", NOW_MS + ahead_ms - n * 10_000) for n in range(100)]
    assert _distances(receive(sent)) == [-n * 10_000 for n in range(100)]


def test_a_live_message_is_not_dated_ahead_for_long_after_a_burst(receive):
    burst = [(b"oven-001", NOW_MS + 600_000 + n * 36_000) for n in range(100)]
    receive(burst)
    later_ms = NOW_MS + 120_000
    (live,) = receive([(b"oven-001", later_ms + 600_000 + 99 * 36_000)], later_ms)
    assert live.time_ms <= later_ms + AHEAD_MAX_MS


def test_devices_have_shifts_of_their_own_and_the_others_stay_as_they_are(receive):
    sent = [(b"a-1", NOW_MS + 600_000), (b"b-1", NOW_MS + 900_000), (b"c-1", NOW_MS)]
    assert [point.time_ms for point in receive(sent)] == [NOW_MS] * 3
    (good,) = receive([(b"a-1", NOW_MS + 2000)], NOW_MS + 3000)
    assert good.time_ms == NOW_MS + 2000  # its clock was set


def test_no_two_messages_become_one_point(receive):
    rng = random.Random(5)
    times = {
        NOW_MS // 1000 * 1000 + AHEAD_MAX_MS + rng.randrange(1, 10**8) * 1000
        for _ in range(500)
    }
    points = receive([(b"oven-001", time_ms) for time_ms in times])
    assert len({point.time_ms for point in points}) == len(times)
