"""Light devices obey configs and commands, as the contract says, and report it."""

import itertools
import json
import time
from datetime import UTC, datetime
from statistics import median
from types import SimpleNamespace
from zlib import crc32

import pytest
from egiz_schema import Topic
from rig.light_fleet import LightFleet
from rig.live import LiveSubscriber
from rig.servers import Mosquitto
from rig.waiting import eventually

_RATE_HZ = 5.0
_NUMBERS = itertools.count()  # no two commands have the same id
_DEVICES = 42  # six of each type: each test has devices of its own


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A fleet at work, and a service that orders and watches."""
    broker = Mosquitto(tmp_path_factory.mktemp("plant") / "mosquitto")
    broker.start()
    live = LiveSubscriber(broker.host, broker.port)
    running = LightFleet(broker, _DEVICES, _RATE_HZ)
    try:
        yield SimpleNamespace(live=live, running=running)
        fleet = running.stop()
        assert fleet.published == fleet.acknowledged + fleet.dropped
        orders = ("/config", "/command")  # some of these are wrong, to be refused
        assert [t for t, _ in live.rejected if not t.endswith(orders)] == []
        assert live.wills == set()
    finally:
        running.stop()
        live.close()
        broker.kill()


@pytest.fixture
def order(plant):
    """Send an order to a device: `order("oven-001", "config", rev=1)`."""

    def send(device_id, kind, payload=None, *, retain=None, **members):
        if payload is None:
            payload = json.dumps({"device_id": device_id} | members).encode()
        if retain is None:
            retain = kind == "config"
        plant.live.publish(Topic("factory", device_id, kind), payload, retain=retain)
        return payload

    return send


@pytest.fixture
def until(plant):
    """Wait for a status: `until("oven-001", lambda s: s.ota)`; gives the first."""

    def wait(device_id, is_it):
        def found():
            statuses = plant.live.messages(device_id, "status")
            return next((s for s in statuses if is_it(s)), None)

        return eventually(found)

    return wait


@pytest.fixture
def command(order, until):
    """Send a command; gives how it ended."""

    def send(device_id, action, **members):
        command_id = f"{device_id}-{action}-{next(_NUMBERS)}"
        order(device_id, "command", id=command_id, action=action, **members)
        answers = lambda s: s.last_command and s.last_command.id == command_id  # noqa: E731
        return until(device_id, answers).last_command

    return send


def _readings(plant, device_id, count, since=0):
    """The last so many readings, once there are so many after `since` of them."""
    telemetry = lambda: plant.live.messages(device_id, "telemetry")  # noqa: E731
    return eventually(lambda: len(telemetry()) >= since + count and telemetry())[
        -count:
    ]


def _measured(plant, device_id):
    return len(plant.live.messages(device_id, "telemetry"))


def _applied(rev):
    return lambda s: s.config is not None and s.config.applied and s.config.rev == rev


def _refused(rev):
    return lambda s: s.config and s.config.refused and s.config.refused.rev == rev


def _interval_ms(readings):
    times = [reading.timestamp * 1000 + reading.ms for reading in readings]
    return median(b - a for a, b in itertools.pairwise(times))


def test_a_config_is_applied_and_reported_with_its_crc(plant, order, until):
    assert _interval_ms(_readings(plant, "oven-001", 5)) == 200
    payload = order("oven-001", "config", rev=7, publish_rate_ms=100)
    config = until("oven-001", _applied(7)).config
    assert config.crc == crc32(payload)
    assert config.refused is config.error is None
    before = _measured(plant, "oven-001")
    assert _interval_ms(_readings(plant, "oven-001", 10, before)) == 100


def test_a_config_that_is_refused_changes_nothing_and_is_reported(plant, order, until):
    order("oven-002", "config", rev=1, setpoint=170)
    until("oven-002", _applied(1))
    payload = order(
        "oven-002", "config", rev=2, publish_rate_ms=100, buffer_size=1_000_000
    )
    config = until("oven-002", _refused(2)).config
    assert (config.rev, config.applied) == (1, True)  # what is in force
    assert config.refused.crc == crc32(payload)
    assert config.refused.error == "buffer_size: not 0..10000"
    before = _measured(plant, "oven-002")
    readings = _readings(plant, "oven-002", 6, before)
    assert _interval_ms(readings) == 200
    assert readings[-1].thermal.setpoint == 170


def test_an_older_config_is_ignored(plant, order, until):
    order("mixer-001", "config", rev=5)
    until("mixer-001", _applied(5))
    order("mixer-001", "config", rev=4, publish_rate_ms=100)
    order("mixer-001", "config", rev=6)
    until("mixer-001", _applied(6))
    statuses = plant.live.messages("mixer-001", "status")
    assert [s.config.rev for s in statuses if s.config] == [5, 6]


@pytest.mark.parametrize(
    ("device_id", "members", "error"),
    [
        ("mixer-002", {"setpoint": 5}, "setpoint: this machine has no thermostat"),
        ("oven-003", {"setpoint": 401}, "setpoint: not -60..400"),
        ("oven-003", {"setpoint": "hot"}, "setpoint: not a number"),
        ("oven-003", {"alerts": {"no_field": {"max": 1}}}, "alerts.no_field: not meas"),
        (
            "oven-003",
            {"alerts": {"electrical_voltage_a": {"min": 2, "max": 1}}},
            "alerts.electrical_voltage_a: min above max",
        ),
        ("oven-003", {"zones": {"28": "door"}}, "zones.28: not a ROM id"),
        ("oven-003", {"mqtt_broker": "other:1"}, "mqtt_broker: a simulated device"),
        (
            "oven-003",
            {"firmware": {"version": "2", "url": "u", "window": "night"}},
            "firmware.window: not like 22:00-04:00",
        ),
    ],
)
def test_what_a_machine_cannot_do_is_refused_with_a_reason(
    order, until, device_id, members, error
):
    rev = crc32(repr(members).encode())
    order(device_id, "config", rev=rev, **members)
    refused = until(device_id, _refused(rev)).config.refused
    assert refused.error.startswith(error)


def test_an_alert_is_a_fault_code_until_it_ends(plant, order, until):
    code = "electrical_voltage_a:high"
    alerts = {"electrical_voltage_a": {"max": 100}}
    order("oven-004", "config", rev=1, alerts=alerts)
    raised = until("oven-004", lambda s: s.health and code in s.health.fault_codes)
    assert raised.config.rev == 1
    assert code in _readings(plant, "oven-004", 1)[0].status.fault_codes
    order("oven-004", "config", rev=2)
    until("oven-004", _applied(2))
    before = _measured(plant, "oven-004")
    assert _readings(plant, "oven-004", 2, before)[-1].status.fault_codes == []


def test_zones_are_those_of_a_config_in_the_order_of_their_names(plant, order, until):
    birth = until("oven-005", lambda s: s.sensors)
    roms = [s.removeprefix("ds18b20:") for s in birth.sensors if "ds18b20" in s]
    assert len(roms) == 3
    zones = {roms[2]: "a door", "28" + 14 * "0": "b absent"}
    order("oven-005", "config", rev=1, zones=zones)
    until("oven-005", _applied(1))
    before = _measured(plant, "oven-005")
    reading = _readings(plant, "oven-005", 1, before)[-1]
    assert len(reading.thermal.temperature_zones) == 2
    assert reading.thermal.temperature_zones[0] > 100
    assert reading.thermal.temperature_zones[1] is None
    assert reading.status.fault_codes == ["zone_1:no_reply"]


def test_a_command_is_executed_once(order, command, until):
    done = command("oven-006", "identify")
    assert done.result == "done"
    order("oven-006", "command", id=done.id, action="identify")
    is_refused = lambda s: s.last_command and s.last_command.result == "refused"  # noqa: E731
    assert until("oven-006", is_refused).last_command.error == "repeated"


def test_a_retained_command_is_refused(order, until):
    # It has to be there before the device is: so the device connects again.
    order("freezer-005", "command", id="kept", action="identify", retain=True)
    until("freezer-005", lambda s: s.last_command and s.last_command.id == "kept")
    order("freezer-005", "command", id="go", action="reboot")
    is_refused = lambda s: s.last_command and s.last_command.error == "retained"  # noqa: E731
    assert until("freezer-005", is_refused).last_command.id == "kept"
    order("freezer-005", "command", b"", retain=True)


@pytest.mark.parametrize(
    ("device_id", "members", "result", "error"),
    [
        ("mixer-003", {"action": "no_such"}, "refused", "unknown action"),
        ("mixer-003", {"action": "portal"}, "refused", "unknown action"),
        (
            "mixer-003",
            {"action": "identify", "expires_at": 1_600_000_000},
            "refused",
            "expired",
        ),
        (
            "mixer-003",
            {"action": "identify", "args": {"seconds": 601}},
            "refused",
            "args.seconds: not 1..600",
        ),
        (
            "mixer-003",
            {"action": "reboot", "args": {"now": 1}},
            "refused",
            "args.now: not of this action",
        ),
        (
            "mixer-003",
            {"action": "factory_reset", "args": {"confirm": "mixer-004"}},
            "refused",
            "args.confirm: not the device id",
        ),
        (
            "mixer-003",
            {"action": "rollback", "args": {"confirm": "mixer-003"}},
            "refused",
            "no other version",
        ),
        ("silo-001", {"action": "reset_energy"}, "failed", "no meters"),
    ],
)
def test_a_command_that_cannot_be_obeyed_says_why(
    command, device_id, members, result, error
):
    ended = command(device_id, **members)
    assert (ended.result, ended.error) == (result, error)


@pytest.mark.parametrize("payload", [b'{"device_id":', b"[]", b"x" * 5000])
def test_a_command_that_is_none_is_refused_without_an_id(plant, order, until, payload):
    before = len(plant.live.messages("mixer-004", "status"))
    order("mixer-004", "command", payload)
    statuses = lambda: plant.live.messages("mixer-004", "status")[before:]  # noqa: E731
    answer = eventually(statuses)[0].last_command
    assert (answer.id, answer.result) == ("?", "refused")
    assert answer.error
    del until


def test_each_of_many_commands_is_answered(plant, order):
    wanted = [f"burst-{number}" for number in range(30)]
    for command_id in wanted:
        order("mixer-005", "command", id=command_id, action="identify")

    def answered():
        statuses = plant.live.messages("mixer-005", "status")
        return [s.last_command.id for s in statuses if s.last_command]

    eventually(lambda: answered() == wanted)


def test_energy_is_reset_and_a_sample_is_one_more_reading(plant, command):
    before = _readings(plant, "conveyor-001", 10)[-1].electrical.energy_wh.a
    assert command("conveyor-001", "reset_energy").result == "done"
    after = _measured(plant, "conveyor-001")
    reading = _readings(plant, "conveyor-001", 2, after)[-1]
    assert reading.electrical.energy_wh.a <= before
    assert command("conveyor-001", "sample_now").result == "done"
    times = [r.timestamp * 1000 + r.ms for r in _readings(plant, "conveyor-001", 5, 20)]
    assert times == sorted(set(times))


def test_a_reboot_is_a_new_boot_after_an_orderly_end(plant, command, until):
    assert command("oven-006", "reboot").result == "done"
    birth = until("oven-006", lambda s: s.boot == 2)
    assert birth.reset_cause == "reboot: command"
    states = [s.state for s in plant.live.messages("oven-006", "status")]
    assert "offline" in states
    first = eventually(
        lambda: [r for r in plant.live.messages("oven-006", "telemetry") if r.boot == 2]
    )[0]
    assert first.seq == 0


def test_a_factory_reset_forgets_the_config(plant, order, command, until):
    order("cold-room-001", "config", rev=9, publish_rate_ms=100)
    until("cold-room-001", _applied(9))
    order("cold-room-001", "config", b"")  # else it would come again
    ended = command("cold-room-001", "factory_reset", args={"confirm": "cold-room-001"})
    assert ended.result == "done"
    assert until("cold-room-001", lambda s: s.boot == 2).config is None
    before = _measured(plant, "cold-room-001")
    assert _interval_ms(_readings(plant, "cold-room-001", 5, before)) == 200


# How an update ends -> states of it, the last version, boots.
_UPDATES = {
    "good": (["waiting", "updating", "trial", "done"], "2.0", 2),
    "slow": (["waiting", "updating", "trial", "done"], "2.0", 2),
    "crash_loop": (["waiting", "updating", "trial", "rolled_back"], "sim", 5),
    "silent": (["waiting", "updating", "rolled_back"], "sim", 2),
    "refuses": (["waiting", "refused"], "sim", 1),
}


@pytest.mark.parametrize("by", ["config", "command"])
@pytest.mark.parametrize("outcome", _UPDATES)
def test_an_update_ends_as_its_release_does(plant, order, until, outcome, by):
    number = 1 + list(_UPDATES).index(outcome)
    device_id = {"config": "packing-line", "command": "silo"}[by] + f"-{number:03}"
    release = {"version": "2.0", "url": f"http://releases/2.0#{outcome}"}
    if by == "config":
        order(device_id, "config", rev=1, firmware=release)
    else:
        order(device_id, "command", id="update", action="ota", args=release)
    states, version, boots = _UPDATES[outcome]
    last = until(device_id, lambda s: s.ota and s.ota.state == states[-1])
    assert last.firmware_version.startswith(version)
    assert last.boot == boots
    assert last.ota.version == "2.0"
    assert bool(last.ota.error) is (version == "sim")
    statuses = plant.live.messages(device_id, "status")
    seen = [s.ota.state for s in statuses if s.ota]
    assert [state for state, _ in itertools.groupby(seen)] == states
    plant.live.wills.discard(device_id)  # of one that crashed


def test_an_update_that_is_on_its_way_is_not_disturbed(order, until, command):
    hour = (datetime.now(UTC).hour + 12) % 24  # so it waits
    release = {"version": "2.0", "url": "http://releases/2.0"}
    closed = release | {"window": f"{hour:02}:00-{hour:02}:30"}
    order("freezer-001", "config", rev=1, firmware=closed)
    until("freezer-001", lambda s: s.ota and s.ota.state == "waiting")
    second = command("freezer-001", "ota", args=release | {"version": "3.0"})
    assert (second.result, second.error) == ("refused", "an update is on its way")


def test_a_device_goes_back_to_the_version_before(until, command):
    release = {"version": "2.0", "url": "http://releases/2.0#slow"}
    assert command("freezer-003", "ota", args=release).result == "done"
    until("freezer-003", lambda s: s.ota and s.ota.state == "done")
    confirm = {"confirm": "freezer-003"}
    assert command("freezer-003", "rollback", args=confirm).result == "done"
    back = until("freezer-003", lambda s: s.ota and s.ota.state == "rolled_back")
    assert back.firmware_version.startswith("sim-")


def test_a_wave_updates_its_percent_of_the_devices(plant, order, until):
    names = [f"conveyor-{number:03}" for number in range(2, 7)]
    release = {"version": "2.0", "url": "http://releases/2.0"}
    for percent in (0, 100):
        for name in names:
            order(
                name, "config", rev=percent + 1, firmware=release | {"percent": percent}
            )
            until(name, _applied(percent + 1))
        if percent == 0:
            for name in names:
                assert not any(s.ota for s in plant.live.messages(name, "status"))
    for name in names:
        until(name, lambda s: s.ota and s.ota.state == "done")


def test_a_status_comes_as_often_as_a_config_says(plant, order, until):
    order("freezer-002", "config", rev=1, report_rate_ms=1000)
    applied = until("freezer-002", _applied(1))
    later = until(
        "freezer-002", lambda s: s.timestamp and s.timestamp > applied.timestamp
    )
    assert later.config.rev == 1
    assert time.time() - applied.timestamp < 30  # and not after a minute
    del plant
