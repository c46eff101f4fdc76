"""Nearly all devices are ahead, or a clock is set: it is that of this machine."""

import json
import time

import pytest
from egiz_bridge.ledger import our_clock
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.ledger.our_clock import OurClock
from egiz_schema import Topic
from rig.clock import FakeClock
from rig.publisher import Publisher
from rig.waiting import eventually
from structlog.testing import capture_logs

AHEAD_MS = 600_000
NOW_MS = 1_790_000_000_000


@pytest.fixture
def clock(monkeypatch):
    """`clock(seconds, jump_s)` lets time pass, and sets the wall clock."""
    passed = {"monotonic": 100.0, "wall": NOW_MS / 1000}
    monkeypatch.setattr(our_clock, "_wall_ms", lambda: int(passed["wall"] * 1000))
    steady = lambda: int(passed["monotonic"] * 1000)  # noqa: E731  # as short as its peer
    monkeypatch.setattr(our_clock, "_steady_ms", steady)
    monkeypatch.setattr(our_clock.time, "monotonic", lambda: passed["monotonic"])

    def let_pass(seconds, jump_s=0.0):
        passed["monotonic"] += seconds
        passed["wall"] += seconds + jump_s

    return let_pass


def _devices(*ahead_ms, received_ms=NOW_MS):
    devices = Devices()
    for number, ms in enumerate(ahead_ms):
        device = devices.of(Topic("factory", f"oven-{number}", "telemetry"))
        device.last_received_ms = received_ms
        device.clock_skew_ms = -ms
    return devices


@pytest.mark.parametrize(
    ("ahead_ms", "is_wrong"),
    [
        ([AHEAD_MS] * 3, True),
        ([AHEAD_MS, AHEAD_MS + 50_000, AHEAD_MS * 1000], True),
        ([AHEAD_MS] * 19 + [0], True),
        ([AHEAD_MS] * 2, False),  # they may have one time server
        ([AHEAD_MS] * 8 + [0] * 2, False),
        ([0] * 10, False),
        ([AHEAD_MS] + [0] * 9, False),
        ([-AHEAD_MS] * 10, False),  # history
        ([299_000] * 10, False),
        ([], False),
    ],
)
@pytest.mark.usefixtures("clock")
def test_it_is_our_clock_if_nearly_all_devices_are_ahead(ahead_ms, is_wrong):
    ours = OurClock(_devices(*ahead_ms))
    assert ours.is_wrong == is_wrong
    assert len(ours.problems()) == is_wrong


@pytest.mark.usefixtures("clock")
def test_devices_that_are_silent_have_no_say():
    assert not OurClock(
        _devices(*[AHEAD_MS] * 9, received_ms=NOW_MS - 121_000)
    ).is_wrong


def test_it_is_logged_once_and_when_it_is_over(clock):
    devices = _devices(*[AHEAD_MS] * 5)
    ours = OurClock(devices)
    with capture_logs() as logs:
        for _ in range(5):
            clock(2)
            (text,) = ours.problems()
            assert text.startswith("5 of 5 devices are 600 s ahead: the clock of this")
        for known in devices.seen():
            known.device.clock_skew_ms = 100
        clock(2)
        assert ours.problems() == []
    assert [one["log_level"] for one in logs] == ["error", "info"]


@pytest.mark.parametrize("jump_s", [31 * 86_400, -31 * 86_400, 301])
def test_a_clock_that_is_set_is_counted_and_shown_for_a_while(clock, jump_s):
    ours = OurClock(Devices())
    clock(100_000)
    assert ours.problems() == []
    clock(2, jump_s)
    assert ours.problems() == [
        f"the clock of this machine was set by {jump_s:+.0f} s; is NTP running?"
    ]
    clock(800)
    assert len(ours.problems()) == 1
    clock(101)
    assert ours.problems() == []
    assert ours.jumps == 1


def test_a_small_correction_is_no_jump(clock):
    ours = OurClock(Devices())
    for _ in range(5):
        clock(3600, 59)
        assert ours.problems() == []


def _publish(mosquitto, numbers):
    with Publisher(mosquitto) as publisher:
        for number in numbers:
            device = f"oven-{number % 5}"
            message = {"device_id": device, "timestamp": int(time.time())}
            message |= {"boot": 1, "seq": number, "thermal": {"setpoint": 1.0}}
            publisher.publish(
                f"sensors/factory/{device}/telemetry", json.dumps(message)
            )


def test_readiness_log_and_metric_name_our_clock(mosquitto, bridge, tmp_path):
    clock = FakeClock(tmp_path / "clock")
    clock.set("-31d")
    running = bridge(mosquitto.url, archive={})
    running.start(env=clock.env)
    assert running.get("/readyz")[0] == 200
    _publish(mosquitto, range(10))
    eventually(lambda: running.metrics()["clock_wrong"] == 1)
    status, body = running.get("/readyz")
    assert status == 503
    assert any(
        one.startswith("clock: 5 of 5 devices are 26") and "is wrong" in one
        for one in json.loads(body)["problems"]
    )
    assert (
        "clock of this machine is wrong: times of devices are put back" in running.log
    )
    clock.set("+0")
    _publish(mosquitto, range(10, 20))
    eventually(lambda: running.metrics()["clock_wrong"] == 0)
    assert running.metrics()["clock_jumps_total"] == 1
    assert "clock of this machine jumped" in running.log
    assert running.metrics()["sink_written_total/archive"] == 20
