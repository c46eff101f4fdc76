"""Sensors that fail, each in its own way."""

import random

import pytest
from egiz_schema import Telemetry, Topic, decode, encode
from egiz_sim.cold import ColdRoom
from egiz_sim.machines import MACHINES, Mixer, Oven, fleet
from egiz_sim.sensors import FAULT_KINDS, Sensor, SensorFault


def _zones(kind, **times):
    """Two courses of an oven's first zone: sound, and with a fault."""
    courses = []
    for faults in ([], [SensorFault("zone_0", kind, **times)]):
        oven = Oven(random.Random(1))
        oven.faults = faults
        readings = [(oven.step(1), list(oven.fault_codes)) for _ in range(300)]
        courses.append([(one.thermal.temperature_zones, c) for one, c in readings])
    return courses


def test_a_stuck_sensor_shows_its_last_value_and_no_code():
    sound, failing = _zones("stuck", begins_s=100, lasts_s=100)
    assert [zones for zones, _ in failing[:99]] == [zones for zones, _ in sound[:99]]
    stuck = {zones[0] for zones, _ in failing[100:198]}
    assert len(stuck) == 1
    assert len({zones[1] for zones, _ in failing[100:198]}) > 20
    assert failing[210] == sound[210]
    assert not any(codes for _, codes in failing)


def test_a_sensor_that_drops_out_shows_nothing_and_has_a_code():
    _, failing = _zones("dropout", begins_s=100, lasts_s=100)
    for zones, codes in failing[100:198]:
        assert zones[0] is None
        assert zones[1] is not None
        assert codes == ["zone_0:no_reply"]
    assert failing[210][0][0] is not None
    assert failing[210][1] == []


def test_a_sensor_that_spikes_shows_five_times_its_value_now_and_then():
    _, failing = _zones("spike", begins_s=10)
    spikes = sum(zones[0] > 500 for zones, _ in failing[10:])
    assert 10 < spikes < 60


def test_a_drifting_sensor_moves_by_a_fifth_in_an_hour():
    oven = Oven(random.Random(1))
    oven.faults = [SensorFault("zone_0", "drift", begins_s=0)]
    last = [oven.step(10) for _ in range(360)][-1].thermal.temperature_zones
    drifted = last[0] - oven.bodies[0].celsius
    assert drifted == pytest.approx(0.2 * oven.bodies[0].celsius, rel=0.05)


def test_a_thermometer_that_was_reset_shows_85_degrees():
    _, failing = _zones("power_on")
    resets = sum(zones[0] == 85.0 for zones, _ in failing)
    assert 30 < resets < 100
    assert all(zones[0] > 100 for zones, _ in failing[120:] if zones[0] != 85.0)


def test_a_meter_that_drops_out_shows_none_of_its_quantities():
    mixer = Mixer(random.Random(1))
    mixer.faults = [SensorFault("meter_b", "dropout")]
    shown = mixer.step(1).electrical
    for quantity in (shown.voltage, shown.current, shown.active_power, shown.energy_wh):
        assert quantity.b is None
        assert quantity.a is not None
    assert mixer.fault_codes == ["pzem_b:no_reply"]


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_value_of_a_channel_can_fail_too(kind):
    room = ColdRoom(random.Random(1))
    room.faults = [SensorFault("humidity", kind)]
    readings = [room.step(1) for _ in range(50)]
    assert all("humidity" in one.values for one in readings)
    assert (readings[-1].values["humidity"] is None) == (kind == "dropout")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_whatever_fails_the_message_can_be_written(machine, kind):
    running = machine(random.Random(1))
    running.faults = [SensorFault(sensor, kind) for sensor in running.sensors]
    device_id = f"{machine.device_type}-001"
    topic = Topic("factory", device_id, "telemetry")
    for _ in range(100):
        reading = running.step(1)
        message = Telemetry(
            device_id=device_id, timestamp=1_780_000_000, **reading._asdict()
        )
        assert decode(topic, encode(message)) is not None


def test_a_share_of_a_fleet_has_a_sensor_that_fails_and_the_others_are_as_before():
    sound, failing = dict(fleet(700, 1)), dict(fleet(700, 1, 0.2))
    with_fault = [name for name, machine in failing.items() if machine.faults]
    assert 100 < len(with_fault) < 180
    assert with_fault == [n for n, m in fleet(700, 1, 0.2) if m.faults]
    other = next(name for name in failing if name not in with_fault)
    assert [sound[other].step(1) for _ in range(20)] == [
        failing[other].step(1) for _ in range(20)
    ]
    kinds = {fault.kind for machine in failing.values() for fault in machine.faults}
    assert kinds == set(FAULT_KINDS)


def test_a_sound_sensor_is_noisy_and_drifts_a_little():
    sensor = Sensor(random.Random(1), 0.05, 0.05)
    shown = [sensor.read(100.0, 1) for _ in range(3600)]
    assert len(set(shown)) == 3600
    assert 99.5 < min(shown) < max(shown) < 100.5
