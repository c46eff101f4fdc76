"""The machines: the same for the same seed, and they behave like machines."""

import itertools
import random

import pytest
from egiz_schema import Telemetry, Topic, decode, encode
from egiz_sim.machines import MACHINES, Conveyor, Freezer, Mixer, Oven, fleet


def _course(machine, steps, seconds=1.0):
    return [(machine.state, *machine.step(seconds)) for _ in range(steps)]


def test_the_same_seed_gives_the_same_readings_and_another_gives_others():
    def readings(seed):
        return {name: _course(machine, 50) for name, machine in fleet(8, seed)}

    assert readings(1) == readings(1)
    assert readings(1) != readings(2)


def test_a_device_reads_the_same_however_large_its_fleet_is():
    (small, _, _, _), large = list(fleet(4, 1)), list(fleet(100, 1))
    assert small[0] == large[0][0]
    assert _course(small[1], 20) == _course(large[0][1], 20)


def test_every_device_of_a_large_fleet_has_an_id_of_its_own():
    names = [name for name, _ in fleet(5000, 1)]
    assert len(set(names)) == 5000
    assert {name.rpartition("-")[0] for name in names} == {
        machine.device_type for machine in MACHINES
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_an_hour_of_readings_is_valid_in_the_contract(machine):
    running = machine(random.Random(1))
    topic = Topic("factory", f"{machine.device_type}-001", "telemetry")
    for electrical, thermal in (running.step(5) for _ in range(720)):
        message = Telemetry(
            device_id=topic.device_id,
            timestamp=1_733_299_200,
            electrical=electrical,
            thermal=thermal,
        )
        assert decode(topic, encode(message)) == message


def test_an_oven_keeps_its_setpoint_and_its_current_shows_when_it_heats():
    oven = Oven(random.Random(1))
    readings = [oven.step(1) for _ in range(600)]
    means = [sum(t.temperature_zones) / 3 for _, t in readings]
    steady = means[120:]
    assert 186 < min(steady) < 189  # below the thermostat's lower limit, not far
    assert 191 < max(steady) < 194
    for (electrical, _), (before, after) in zip(
        readings[1:], itertools.pairwise(means), strict=True
    ):
        is_heating = electrical.current.a > 10
        assert is_heating == (after > before)


def test_a_mixer_draws_more_as_the_dough_stiffens_and_little_when_it_stands():
    mixer = Mixer(random.Random(1))
    readings = [(mixer.step(1)[0].current.a, mixer.state) for _ in range(300)]
    standing = [amperes for amperes, state in readings if state == "stopped"]
    kneading = [amperes for amperes, state in readings if state == "running"]
    assert len(standing) == 75  # a quarter of five minutes
    assert max(standing) < 1
    assert min(kneading) > 4
    assert max(kneading) > 10


def test_a_jammed_conveyor_is_a_fault_with_the_current_of_a_locked_rotor():
    conveyor = Conveyor(random.Random(1))
    readings = [(conveyor.step(1)[0].current.a, conveyor.state) for _ in range(3600)]
    assert {state for _, state in readings} == {"running", "fault"}
    for amperes, state in readings:
        assert (amperes > 10) == (state == "fault")
    jams = sum(
        1
        for (_, a), (_, b) in itertools.pairwise(readings)
        if (a, b) == ("running", "fault")
    )
    assert 15 < jams < 50  # one in two minutes, on average


def test_a_freezer_stays_cold():
    freezer = Freezer(random.Random(1))
    inside = [freezer.step(5)[1].temperature_zones[0] for _ in range(2000)]
    assert -20.5 < min(inside) < -19
    assert -17 < max(inside) < -15.5


@pytest.mark.parametrize("machine", MACHINES)
def test_energy_is_the_integral_of_the_power(machine):
    running = machine(random.Random(1))
    first = running.step(1)[0]
    used = 0.0
    for _ in range(1800):
        last = running.step(1)[0]
        used += last.active_power.a / 3600
    assert last.energy_wh.a - first.energy_wh.a == pytest.approx(used, abs=2)
    assert last.active_power.a == pytest.approx(
        last.voltage.a * last.current.a * last.power_factor, rel=0.02, abs=1
    )
