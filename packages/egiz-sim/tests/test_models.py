"""The physics of the machines, held against calculations of another kind."""

import itertools
import math
import random

import pytest
from egiz_sim.cold import ColdRoom, Freezer
from egiz_sim.heat import Body
from egiz_sim.machine import AMBIENT_C
from egiz_sim.machines import MACHINES, Conveyor, Mixer, Oven, fleet
from egiz_sim.power import Meters, Motor, load
from egiz_sim.shifts import Shifts
from egiz_sim.stores_and_lines import Silo

METERED = [one for one in MACHINES if one is not Silo]
MONDAY_S = 1_780_272_000  # 2026-06-01 00:00 UTC


def test_a_body_stores_what_comes_in_and_is_not_lost():
    body = Body(5000, 20, 30)
    stored = lost = 0.0
    for _ in range(100_000):  # in steps so small that a plain sum is good enough
        before = body.celsius
        body.heat(0.01, 2000, 22)
        stored += 5000 * (body.celsius - before)
        lost += 20 * (before - 22) * 0.01
    assert stored + lost == pytest.approx(2000 * 1000, rel=1e-3)


@pytest.mark.parametrize("seconds", [0.1, 1, 7, 600])
def test_a_body_is_as_warm_after_one_long_step_as_after_many_short_ones(seconds):
    long, short = Body(5000, 20, 150), Body(5000, 20, 150)
    long.heat(seconds, 800, 22, 5)
    for _ in range(100):
        short.heat(seconds / 100, 800, 22, 5)
    assert long.celsius == pytest.approx(short.celsius, rel=1e-9)
    assert min(150, 22 + 800 / 25) <= long.celsius <= 150


def test_an_oven_warms_by_the_energy_that_its_meters_count():
    oven = Oven(random.Random(1))
    oven.openings_per_s = 0
    for body in oven.bodies:
        body.celsius = AMBIENT_C
    first = oven.step(1).electrical.energy_wh
    warm = [sum(body.celsius for body in oven.bodies)]
    for _ in range(100):
        last = oven.step(1).electrical.energy_wh
        warm.append(sum(body.celsius for body in oven.bodies))
    joules = 3600 * sum(getattr(last, p) - getattr(first, p) for p in "abc")
    fan = 3 * load(0.6, 0.65).watts * 100  # its heat goes to the room
    stored = oven.zone_j_k * (warm[-1] - warm[0])
    lost = sum(
        oven.zone_w_k * ((a + b) / 2 - 3 * AMBIENT_C)
        for a, b in itertools.pairwise(warm)
    )
    assert warm[-1] / 3 < oven.setpoint_c - 2  # it has heated all the time
    assert stored + lost == pytest.approx(joules - fan, rel=0.03)


def test_an_oven_at_its_setpoint_draws_on_average_what_it_loses():
    oven = Oven(random.Random(1))
    oven.openings_per_s = 0
    for _ in range(600):
        oven.step(1)
    readings = [oven.step(1) for _ in range(7200)]
    watts = sum(
        sum(getattr(one.electrical.active_power, phase) for phase in "abc")
        for one in readings
    ) / len(readings)
    zones = [sum(one.thermal.temperature_zones) for one in readings]
    lost = oven.zone_w_k * (sum(zones) / len(zones) - 3 * AMBIENT_C)
    fan = 3 * load(0.6, 0.65).watts
    assert watts - fan == pytest.approx(lost, rel=0.03)


@pytest.mark.parametrize("machine", [Freezer, ColdRoom])
def test_what_cools_moves_as_much_heat_as_comes_in(machine):
    cooler = machine(random.Random(1))
    cooler.openings_per_s = 0
    cooler.defrost_s = 0
    for _ in range(600):
        cooler.step(1)
    readings = [cooler.step(1) for _ in range(14_400)]
    inside = [one.thermal.temperature_zones[0] for one in readings]
    comes_in = cooler.body.watts_per_k * (AMBIENT_C - sum(inside) / len(inside))
    is_on = [one.electrical.current.a > 2 for one in readings]
    moved = sum(
        cooler.performance * sum(getattr(one.electrical.active_power, p) for p in "abc")
        for one, on in zip(readings, is_on, strict=True)
        if on
    ) / len(readings)
    assert moved == pytest.approx(comes_in, rel=0.06)  # its standby is in it


@pytest.mark.parametrize("machine", METERED)
@pytest.mark.parametrize("seconds", [0.1, 1, 10])
def test_energy_is_the_integral_of_the_power_at_any_rate(machine, seconds):
    running = machine(random.Random(2))
    first = running.step(seconds).electrical.energy_wh
    used = dict.fromkeys("abc", 0.0)
    for _ in range(1000):
        last = running.step(seconds).electrical
        for phase in "abc":
            used[phase] += getattr(last.active_power, phase) * seconds / 3600
            assert getattr(last.active_power, phase) >= 0
    for phase in "abc":
        counted = getattr(last.energy_wh, phase) - getattr(first, phase)
        assert counted == pytest.approx(used[phase], abs=1.1)


@pytest.mark.parametrize("machine", METERED)
def test_power_is_voltage_times_current_times_power_factor(machine):
    running = machine(random.Random(3))
    for one in (running.step(2).electrical for _ in range(500)):
        apparent = [
            getattr(one.voltage, phase) * getattr(one.current, phase) for phase in "abc"
        ]
        watts = sum(getattr(one.active_power, phase) for phase in "abc")
        assert watts == pytest.approx(sum(apparent) * one.power_factor, rel=0.03, abs=2)
        assert 0 < one.power_factor <= 1


@pytest.mark.parametrize("machine", METERED)
def test_the_phases_are_alike_and_never_the_same(machine):
    running = machine(random.Random(4))
    readings = [running.step(1).electrical for _ in range(600)]
    for quantity, spread in (("voltage", 0.03), ("current", 0.15)):
        phases = [
            sum(getattr(getattr(one, quantity), phase) for one in readings)
            for phase in "abc"
        ]
        assert len(set(phases)) == 3
        assert (max(phases) - min(phases)) / sum(phases) * 3 < spread


def test_the_voltage_of_the_mains_wanders_and_stays_near_230():
    meters = Meters(random.Random(1))
    volts = []
    for _ in range(5000):
        meters.use(1, load(1, 1))
        volts.append(meters.read().voltage.a)
    minutes = [sum(volts[n : n + 60]) / 60 for n in range(0, 4800, 60)]
    assert 218 < min(volts) < max(volts) < 242
    assert max(minutes) - min(minutes) > 1


def _apparent(draw):
    return math.hypot(*draw)


def test_a_motor_draws_several_times_its_current_when_it_starts():
    motor = Motor(9.0, 0.84)
    course = [_apparent(motor.turn(0.05, 1.0)) / 230 for _ in range(40)]
    assert 40 < course[0] < 55  # five to six times
    assert course == sorted(course, reverse=True)
    assert course[-1] == pytest.approx(9.0)
    motor.stop()
    assert _apparent(motor.turn(0.05, 1.0)) / 230 == pytest.approx(course[0])
    again = Motor(9.0, 0.84)
    assert _apparent(again.turn(2.0, 1.0)) / 230 < 13  # a mean of two seconds


def test_the_power_factor_of_a_motor_falls_with_its_load():
    factors = []
    for share in (1.0, 0.5, 0.1):
        motor = Motor(9.0, 0.84)
        motor.turn(10, share)
        draw = motor.turn(1, share)
        factors.append(draw.watts / _apparent(draw))
    assert factors[0] == pytest.approx(0.84)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] < 0.4


def test_what_two_loads_draw_together_is_less_than_the_sum_of_their_currents():
    both = load(10, 1.0) + load(10, 0.5)
    assert both.watts == pytest.approx(230 * 15)
    assert 15 < _apparent(both) / 230 < 20


def test_a_conveyor_draws_more_when_it_is_free_again_than_in_its_run():
    conveyor = Conveyor(random.Random(1))
    readings = [
        (conveyor.state, conveyor.step(0.2).electrical.current.a, conveyor.state)
        for _ in range(9000)
    ]
    starts = [a for before, a, now in readings if (before, now) == ("fault", "running")]
    steady = [a for before, a, now in readings if before == now == "running"]
    assert len(starts) > 5
    assert min(starts) > 2 * sum(steady) / len(steady)


def test_a_shift_ends_the_work_and_what_is_cold_stays_cold():
    night = dict(fleet(7, 1))
    shifts = Shifts.parse("mon-fri 06:00-22:00")
    for machine in night.values():
        machine.begin(MONDAY_S + 23 * 3600, shifts)
    last = {name: [m.step(10) for _ in range(300)][-1] for name, m in night.items()}
    for name in ("oven-001", "mixer-001", "conveyor-001", "packing-line-001"):
        assert night[name].state == "stopped"
        assert last[name].electrical.current.a < 1
    assert max(last["oven-001"].thermal.temperature_zones) < 25
    assert last["freezer-001"].thermal.temperature_zones[0] < -8
    assert last["cold-room-001"].thermal.temperature_zones[0] < 6
    assert last["packing-line-001"].values["throughput"] == 0


def test_a_morning_heats_the_ovens():
    oven = Oven(random.Random(1))
    oven.begin(MONDAY_S + 6 * 3600 - 120, Shifts.parse("mon 06:00-22:00"))
    means = [sum(oven.step(10).thermal.temperature_zones) / 3 for _ in range(90)]
    assert means[0] < 25
    assert means[-1] > 180
    assert oven.state == "running"


def test_machines_do_not_begin_their_shift_in_the_same_second():
    mixers = [Mixer(random.Random(n)) for n in range(20)]
    for mixer in mixers:
        mixer.begin(MONDAY_S + 6 * 3600 + 60, Shifts.parse("mon-fri 06:00-22:00"))
        mixer.step(1)
    assert 3 < sum(mixer.is_on_shift for mixer in mixers) < 17
