"""A device whose clock was never set: its readings are kept, at the time of receipt."""

import pytest
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.packets import Publish
from egiz_bridge.pipeline import intake
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.archive import ArchiveTable

NOW_MS = 1_750_000_000_123
PAYLOAD = (
    b'{"device_id":"oven-001","timestamp":%d,"ms":%d,"boot":%d,"buffered":%b,'
    b'"thermal":{"setpoint":1},"status":{"time_synced":false}}'
)


@pytest.fixture
def receive(monkeypatch):
    """`receive([(uptime_ms, boot, is_buffered), ...], now_ms)`: the points."""
    batches = []
    devices = Devices()
    entry = intake.Intake(Ledger(), devices, batches.append)
    entry.configure([ArchiveTable()])

    def read(messages, now_ms=NOW_MS):
        monkeypatch.setattr(intake.time, "time_ns", lambda: now_ms * 1_000_000)
        packets = []
        for number, (uptime_ms, boot, is_buffered) in enumerate(messages, 1):
            flag = b"true" if is_buffered else b"false"
            payload = PAYLOAD % (*divmod(uptime_ms, 1000), boot, flag)
            packets.append(
                Publish(b"sensors/factory/oven-001/telemetry", payload, number, 0)
            )
        entry.receive(packets, 0)
        entry.flush()
        rows = batches.pop().rows
        assert [to_row(row.message).line for row in rows] == [row.line for row in rows]
        return [row.message.point() for row in rows]

    read.devices = devices
    return read


def test_its_time_is_that_of_the_receipt_and_the_point_says_so(receive):
    (point,) = receive([(42_000, 1, False)])
    assert point.time_ms == NOW_MS
    assert point.fields["time_corrected"] is True
    assert point.fields["status_time_synced"] is False
    assert point.fields["thermal_setpoint"] == 1.0


def test_messages_that_come_at_once_keep_their_distances(receive):
    points = receive([(42_000 + n * 1000, 1, False) for n in range(10)])
    assert [p.time_ms - NOW_MS for p in points] == [n * 1000 for n in range(10)]


def test_a_boot_begins_again_at_the_time_of_the_receipt(receive):
    receive([(7_200_000, 1, False)])
    later_ms = NOW_MS + 10_000
    (point,) = receive([(5_000, 2, False)], later_ms)
    assert point.time_ms == later_ms


def test_what_was_buffered_comes_before_what_is_live(receive):
    live, *kept = receive(
        [(7_200_000, 1, False), *((3_600_000 + n * 5000, 1, True) for n in range(5))]
    )
    assert live.time_ms == NOW_MS
    distances = [point.time_ms - live.time_ms for point in kept]
    assert distances == [-3_600_000 + n * 5000 for n in range(5)]


def test_a_device_without_a_clock_is_not_drifting(receive):
    receive([(42_000, 1, False)])
    (seen,) = receive.devices.seen()
    assert seen.device.clock_skew_ms == 0
    assert receive.devices.event_to_receipt.sum_s == 0


def test_messages_without_a_time_that_are_read_at_once_are_points_of_their_own():
    """Two commands, or a will and its device's return, must not be merged into one."""
    batches = []
    entry = intake.Intake(Ledger(), Devices(), batches.append)
    entry.configure([ArchiveTable(kinds=["telemetry", "status", "command"])])
    command = b'{"device_id":"oven-001","id":"c%d","action":"identify"}'
    will = b'{"device_id":"oven-001","state":"offline","boot":%d}'
    packets = [
        Publish(b"sensors/factory/oven-001/" + kind, payload % number, number, 0)
        for number in range(1, 4)
        for kind, payload in ((b"command", command), (b"status", will))
    ]
    entry.receive(packets, 0)
    entry.flush()
    points = [row.message.point() for row in batches[0].rows]
    assert len({(point.kind, point.time_ms) for point in points}) == 6
    assert [to_row(row.message).line for row in batches[0].rows] == [
        row.line for row in batches[0].rows
    ]
