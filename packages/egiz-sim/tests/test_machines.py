"""The machines: the same for the same seed, and they behave like machines."""

import itertools
import random

import pytest
from egiz_schema import Status, Telemetry, Topic, decode, encode
from egiz_schema.quantities import QUANTITIES
from egiz_sim.cold import ColdRoom, Freezer
from egiz_sim.machines import MACHINES, Conveyor, Mixer, Oven, fleet
from egiz_sim.stores_and_lines import PackingLine, Silo


def _course(machine, steps, seconds=1.0):
    return [(machine.state, *machine.step(seconds)) for _ in range(steps)]


def test_the_same_seed_gives_the_same_readings_and_another_gives_others():
    def readings(seed):
        return {name: _course(machine, 50) for name, machine in fleet(8, seed)}

    assert readings(1) == readings(1)
    assert readings(1) != readings(2)


def test_a_device_reads_the_same_however_large_its_fleet_is():
    (small, *_), large = list(fleet(4, 1)), list(fleet(100, 1))
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
    for reading in (running.step(5) for _ in range(720)):
        message = Telemetry(
            device_id=topic.device_id, timestamp=1_733_299_200, **reading._asdict()
        )
        assert decode(topic, encode(message)) == message


def test_an_oven_keeps_its_setpoint_and_its_current_shows_when_it_heats():
    oven = Oven(random.Random(1))
    readings = [(oven.step(1), oven.is_open) for _ in range(3600)]
    means = [sum(one.thermal.temperature_zones) / 3 for one, _ in readings]
    steady = means[120:]
    assert 180 < min(steady) < 189  # below the thermostat's lower limit, not far
    assert 191 < max(steady) < 194
    for (one, is_open), (before, after) in zip(
        readings[1:], itertools.pairwise(means), strict=True
    ):
        if not is_open:
            is_heating = one.electrical.current.a > 10
            assert is_heating == (after > before)


def test_an_open_door_cools_the_zone_beside_it_most():
    oven = Oven(random.Random(1))
    readings = [(oven.step(1), oven.is_open) for _ in range(3600)]
    lost = [0.0, 0.0, 0.0]
    openings = 0
    for (before, _), (after, is_open) in itertools.pairwise(readings):
        if is_open:
            openings += 1
            zones = (before.thermal.temperature_zones, after.thermal.temperature_zones)
            lost = [
                sum_ + old - new for sum_, old, new in zip(lost, *zones, strict=True)
            ]
    assert openings > 100
    assert lost[2] > lost[1] > lost[0]


def test_an_oven_follows_a_new_setpoint():
    oven = Oven(random.Random(1))
    oven.setpoint_c = 120.0
    last = [oven.step(10) for _ in range(60)][-1].thermal
    assert last.setpoint == 120.0
    assert 115 < sum(last.temperature_zones) / 3 < 124
    assert Oven.setpoint_c == 190.0  # the others keep theirs


def test_a_mixer_draws_more_as_the_dough_stiffens_and_little_when_it_stands():
    mixer = Mixer(random.Random(1))
    readings = [(mixer.step(1).electrical.current.a, mixer.state) for _ in range(300)]
    standing = [amperes for amperes, state in readings if state == "stopped"]
    kneading = [amperes for amperes, state in readings if state == "running"]
    assert len(standing) == 75  # a quarter of five minutes
    assert max(standing) < 1
    assert min(kneading) > 4
    assert max(kneading) > 10


def test_a_jammed_conveyor_is_a_fault_with_the_current_of_a_locked_rotor():
    conveyor = Conveyor(random.Random(1))
    readings = [
        (conveyor.step(1).electrical.current.a, conveyor.state) for _ in range(3600)
    ]
    assert {state for _, state in readings} == {"running", "fault"}
    for amperes, state in readings:
        assert (amperes > 10) == (state == "fault")
    jams = sum(
        1
        for (_, a), (_, b) in itertools.pairwise(readings)
        if (a, b) == ("running", "fault")
    )
    assert 15 < jams < 50  # one in two minutes, on average


def test_a_freezer_stays_cold_between_two_defrosts():
    freezer = Freezer(random.Random(1))
    readings = [
        (freezer.step(1).thermal.temperature_zones[0], freezer.state, freezer.clock_s)
        for _ in range(10_000)
    ]
    inside = [one for one, _, clock_s in readings if clock_s % 1200 > 300]
    assert -20.5 < min(inside) < -19
    assert -17 < max(inside) < -15.5
    warm = [one for one, state, _ in readings if state == "defrost"]
    assert -16 < max(warm) < -8
    assert 8 <= len(warm) / 60 <= 9  # every twenty minutes, for a minute each


@pytest.mark.parametrize("machine", [one for one in MACHINES if one is not Silo])
def test_energy_is_the_integral_of_the_power(machine):
    running = machine(random.Random(1))
    first = running.step(1).electrical
    used = 0.0
    for _ in range(1800):
        last = running.step(1).electrical
        used += last.active_power.a / 3600
    assert last.energy_wh.a - first.energy_wh.a == pytest.approx(used, abs=2)
    assert last.active_power.a == pytest.approx(
        last.voltage.a * last.current.a * last.power_factor, rel=0.02, abs=1
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_a_birth_declares_each_value_counter_and_contact_with_its_unit(machine):
    reading = machine(random.Random(1)).step(1)
    named = [*(reading.values or {}), *(reading.counters or {})]
    assert set(machine.channels) == {*named, *(reading.contacts or {})}
    for name in named:
        channel = machine.channels[name]
        assert channel.unit or channel.quantity in QUANTITIES
    birth = Status(
        device_id=f"{machine.device_type}-001",
        state="online",
        channels=machine.channels,
    )
    topic = Topic("factory", birth.device_id, "status")
    assert decode(topic, encode(birth)).channels == machine.channels


def _opened(readings):
    """The readings of each time the door was open, and of a minute before it."""
    states = [one.contacts["door"] for one in readings]
    starts = [n for n in range(60, len(states)) if states[n] and not states[n - 1]]
    for start in starts:
        end = start + states[start:].index(False) if False in states[start:] else None
        if end:
            yield readings[start - 1], readings[end - 1]


def test_an_open_door_warms_and_moistens_a_cold_room():
    room = ColdRoom(random.Random(1))
    readings = [room.step(1) for _ in range(7200)]
    openings = list(_opened(readings))
    assert 60 < len(openings) < 150  # one a minute, on average
    for before, after in openings:
        assert after.thermal.temperature_zones[0] > before.thermal.temperature_zones[0]
        assert after.values["humidity"] > before.values["humidity"]
    counted = [one.counters["door_openings"] for one in readings]
    assert counted[-1] - counted[0] - len(openings) in {0, 1}  # one may still be open


def test_a_cold_room_with_a_closed_door_stays_cold_and_dries():
    room = ColdRoom(random.Random(1))
    room.openings_per_s = 0
    readings = [room.step(1) for _ in range(7200)][3600:]
    inside = [one.thermal.temperature_zones[0] for one in readings]
    assert 2.5 < min(inside) < 3.6
    assert 4.4 < max(inside) < 5.5
    assert all(70 < one.values["humidity"] < 86 for one in readings)
    for before, after in itertools.pairwise(readings):
        is_cooling = after.electrical.current.a > 2
        change = (
            after.thermal.temperature_zones[0] - before.thermal.temperature_zones[0]
        )
        assert change < 0.1 if is_cooling else change > -0.1


def test_a_silo_is_filled_and_drained_and_what_was_delivered_is_the_difference():
    silo = Silo(random.Random(1))
    readings = [silo.step(1) for _ in range(3600)]
    weights = [one.values["weight"] for one in readings]
    assert 1400 < min(weights) < 1600
    assert 9400 < max(weights) < 9600
    for before, after in itertools.pairwise(readings):
        assert after.counters["delivered"] >= before.counters["delivered"]
        if before.contacts["filling"] and after.contacts["filling"]:
            delivered = after.counters["delivered"] - before.counters["delivered"]
            grown = after.values["weight"] - before.values["weight"]
            assert grown == pytest.approx(delivered, abs=20)  # the scale vibrates
        assert after.values["level"] == pytest.approx(
            after.values["weight"] / 100, abs=0.2
        )
    assert {one.contacts["filling"] for one in readings} == {True, False}


def test_a_packing_line_counts_each_piece_once_and_stands_still_when_it_is_stopped():
    line = PackingLine(random.Random(1))
    readings = [(line.step(1), line.state) for _ in range(3600)]
    packed = 0
    for (before, _), (after, state) in itertools.pairwise(readings):
        new = after.counters["pieces"] - before.counters["pieces"]
        assert after.values["throughput"] == 60 * new
        assert after.electrical.current.a < 1 if state == "stopped" else new >= 1
        if state == "stopped":
            assert new == 0
            assert after.counters["rejects"] == before.counters["rejects"]
        packed += new
    running = sum(state == "running" for _, state in readings[1:])
    assert packed == pytest.approx(2 * running, rel=0.05)
    rejects = readings[-1][0].counters["rejects"] - readings[0][0].counters["rejects"]
    assert rejects == pytest.approx(0.02 * packed, rel=0.3)
    assert {state for _, state in readings} == {"running", "stopped"}
