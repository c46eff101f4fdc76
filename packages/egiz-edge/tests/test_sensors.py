"""Sensors at the wire: the real interpreter, and simulated hardware that fails."""

import pytest
from egiz_edge_tools.hardware import (
    Hardware,
    Meter,
    Thermocouple,
    Thermometer,
    Trouble,
    rom,
)
from rig.waiting import eventually

ROMS = [rom(0), rom(1)]
PHASES = {
    "a": {"u": 2257, "i": 108, "p": 244, "e": 38},  # 0.1 V, mA, 0.1 W, Wh
    "b": {"u": 2301, "i": 10500, "p": 21744, "e": 1_000_000},
    "c": {"u": 2299, "i": 0, "p": 0, "e": 9_999_999},
}
TRUTH = {
    **{what + phase: n for phase, of in PHASES.items() for what, n in of.items()},
    **dict(zip(("t0", "t1", "t2", "t3"), (12050, -1850, 2500, 19025), strict=True)),
}
ELECTRICAL = {name for name in TRUTH if name[0] != "t"}
ZONES = set(TRUTH) - ELECTRICAL  # 0.01 °C

SAMPLE = f"""
from egiz_edge.payloads import Window
from egiz_edge.sensors import Sensors
roms = [bytes.fromhex(rom) for rom in {[one.hex() for one in ROMS]}]
chips = (("max31855", "tc_0"), ("max6675", "tc_1"))
states = (("fault", "fault"), ("cleaning", "input_3"), ("running", "running"))
sensors = Sensors(board, roms, chips, states)
"""

# The hardware here converts immediately, so that all zones are in every sample.
WITHOUT_CONVERSION = """
import egiz_edge.sensors
egiz_edge.sensors.CONVERSION_MS = egiz_edge.sensors._TC_CONVERSION_MS = 0
"""

FOREVER = (
    SAMPLE
    + """
async def main():
    window = Window()
    while True:
        await sensors.sample(window)
        seen = {}
        for quantity in "uipe":
            for phase in "abc":
                name = quantity + phase
                seen[name] = (window.last.get if quantity == "e" else window.mean)(name)
        for zone in range(window.zones):
            seen["t%d" % zone] = window.mean("t%d" % zone)
        emit(window.state, window.faults, seen)
        window.clear()
        await asyncio.sleep(0.1)
asyncio.run(main())
"""
)


def _hardware():
    return Hardware(
        meters={
            1: Meter(225.7, 0.108, 1.0, 50.0, 38),
            2: Meter(230.1, 10.5, 0.9, 50.0, 1_000_000),
            3: Meter(229.9, 0.0, 0.0, 50.0, 9_999_999),
        },
        thermometers={ROMS[0]: Thermometer(120.5), ROMS[1]: Thermometer(-18.5)},
        thermocouples={
            "tc_0": Thermocouple("max31855", 25.0, -5.5),
            "tc_1": Thermocouple("max6675", 190.25),
        },
        pins={"running": 1, "fault": 0, "input_3": 0},
    )


class Sampled:
    """A board that samples for ever; every value that it ever printed is checked.

    Args:
        on_board: the fixture.
        zones: which it has.
    """

    def __init__(self, on_board, zones):
        self.hardware = _hardware()
        self._zones = zones
        none = FOREVER.replace("board, roms, chips", "board, (), ()")
        code = WITHOUT_CONVERSION + FOREVER if zones else none
        self._running = on_board(code, self.hardware)
        self._checked = 0

    def put_world(self):
        self._running.board.put_world()

    def sees(self, faults, absent=(), state="running"):
        """Wait for a sample with just these faults, and without just these values."""
        begun = len(self._running.printed) + 1  # the next may have begun before
        wanted = (ELECTRICAL | self._zones) - set(absent)

        def is_seen():
            for now, codes, seen in self._running.printed[begun:]:
                there = {name for name, value in seen.items() if value is not None}
                if there == wanted and set(codes) == faults and now == state:
                    return True
            return False

        eventually(is_seen, 30)
        self._check_values()

    def _check_values(self):
        """Every value is the one that is measured."""
        for line in self._running.printed[self._checked :]:
            assert isinstance(line, list), line
            for name, value in line[2].items():
                assert value in {None, TRUTH[name]}, (name, value)
            self._checked += 1


@pytest.fixture
def meters(on_board):
    return Sampled(on_board, set())


@pytest.fixture
def zones(on_board):
    return Sampled(on_board, ZONES)


def _of(phase):
    return [what + phase for what in PHASES[phase]]


def test_a_failing_meter_is_absent_and_named_and_the_others_are_not(meters):
    meter = meters.hardware.meters[2]
    for trouble, code in (
        (Trouble.SILENT, "pzem_b:no_reply"),
        (Trouble.LATE, "pzem_b:no_reply"),
        (Trouble.GARBLED, "pzem_b:crc"),
        (Trouble.TRUNCATED, "pzem_b:crc"),
        (Trouble.SLIPPED, "pzem_b:crc"),
    ):
        meter.trouble = trouble
        meters.sees({code}, absent=_of("b"))
    meter.trouble = Trouble.NOISY  # the frame is found behind it
    meters.sees(set())
    meter.trouble = Trouble.NONE
    meter.volts = 900.0  # with a right CRC
    meters.sees({"pzem_b:range"}, absent=_of("b"))


ALL_ONES = 0xFFFFFFFF


def test_a_register_at_all_ones_costs_its_value_and_not_the_meter(meters):
    sound = meters.hardware.meters[1]
    broken = Meter(sound.volts, sound.amperes, 1.0, 50.0, ALL_ONES)
    meters.hardware.meters[1] = broken
    meters.sees({"pzem_a:range"}, absent=["ea"])
    broken.volts = 0.0  # and power with it, as some are at power-up
    meters.sees({"pzem_a:range"}, absent=_of("a"))
    meters.hardware.meters[1] = sound
    meters.sees(set())


class _WrongFactor(Meter):
    def registers(self):
        words = super().registers()
        words[8] = 40
        return words


def test_a_meter_that_contradicts_itself_is_named_and_read(meters):
    sound = meters.hardware.meters[2]
    meters.hardware.meters[2] = _WrongFactor(
        sound.volts, sound.amperes, 0.9, 50.0, sound.watt_hours
    )
    meters.sees({"pzem_b:inconsistent"})
    meters.hardware.meters[2] = sound
    meters.sees(set())


def test_a_line_that_echoes_is_read_and_an_echo_is_no_reply(meters):
    meters.hardware.is_echoing = True
    meters.sees(set())
    meters.hardware.meters[3].trouble = Trouble.SILENT
    meters.sees({"pzem_c:no_reply"}, absent=_of("c"))


def test_three_silent_meters_are_named_and_read_again_when_they_answer(meters):
    codes = {f"pzem_{phase}:no_reply" for phase in "abc"}
    parts, meters.hardware.meters = meters.hardware.meters, {}
    meters.sees(codes, absent=_of("a") + _of("b") + _of("c"))
    meters.hardware.meters = parts
    meters.sees(set())


def test_a_failing_thermometer_is_absent_and_named(zones):
    part = zones.hardware.thermometers[ROMS[1]]
    for trouble, code in (
        (Trouble.SILENT, "zone_1:no_reply"),
        (Trouble.GARBLED, "zone_1:crc"),
        (Trouble.TRUNCATED, "zone_1:crc"),
        (Trouble.RESTARTED, "zone_1:power_on"),
    ):
        part.trouble = trouble
        zones.sees({code}, absent=["t1"])
    part.trouble, part.celsius = Trouble.NONE, None
    zones.sees({"zone_1:conversion"}, absent=["t1"])
    part.celsius, part.bits = -18.5, 9
    zones.sees(set())


def test_a_conversion_is_waited_for(on_board):
    hardware = _hardware()
    for thermometer in hardware.thermometers.values():
        thermometer.conversion_s = 0.7
    running = on_board(FOREVER, hardware)
    eventually(
        lambda: [one for one in running.printed if one[2]["t0"] and one[2]["t1"]][1:]
    )
    for _, codes, seen in running.printed:
        # On a loaded machine, a meter may miss its deadline, and a thermometer, too.
        assert not [code for code in codes if code.endswith(":power_on")]
        assert seen["t0"] in {None, 12050}
        assert seen["t1"] in {None, -1850}


def test_a_shorted_or_empty_onewire_bus_is_no_temperature(zones):
    zones.hardware.is_shorted = True
    zones.sees({"zone_0:shorted", "zone_1:shorted"}, absent=["t0", "t1"])
    zones.hardware.is_shorted = False
    zones.hardware.thermometers = {}
    zones.sees({"zone_0:no_reply", "zone_1:no_reply"}, absent=["t0", "t1"])


def test_a_failing_thermocouple_is_absent_and_named(zones):
    chips = zones.hardware.thermocouples
    for fault in ("open", "shorted_to_ground", "shorted_to_supply"):
        chips["tc_0"].fault = fault
        zones.sees({f"zone_2:{fault}"}, absent=["t2"])
    chips["tc_0"].fault = ""
    chips["tc_1"].fault = "open"
    zones.sees({"zone_3:open"}, absent=["t3"])
    chips.clear()  # both sockets are empty
    zones.sees({"zone_2:no_reply", "zone_3:range"}, absent=["t2", "t3"])


def test_contacts_give_the_state_and_the_first_closed_one_decides(meters):
    for name, level, state in (
        ("input_3", 1, "cleaning"),
        ("fault", 1, "fault"),
        ("input_3", 0, "fault"),
        ("fault", 0, "running"),
        ("running", 0, "stopped"),
    ):
        meters.hardware.pins[name] = level
        meters.put_world()
        meters.sees(set(), state=state)


def _printed_forever(work):
    return SAMPLE + f"while True:\n    emit(asyncio.run({work}))\n"


def test_energy_is_reset_and_a_failure_is_named(on_board):
    hardware = _hardware()
    hardware.meters[2].is_write_protected = True
    running = on_board(_printed_forever("sensors.reset_energy()"), hardware)
    eventually(lambda: [["pzem_b:not_reset"]] in running.printed)
    assert [meter.watt_hours for meter in hardware.meters.values()] == [0, 1_000_000, 0]
    hardware.is_echoing = True
    hardware.meters[2].is_write_protected = False
    del hardware.meters[3]
    eventually(lambda: [["pzem_c:no_reply"]] in running.printed)
    assert hardware.meters[2].watt_hours == 0


def test_all_parts_on_the_buses_are_found_also_those_without_a_zone(on_board):
    hardware = _hardware()
    hardware.meters[1].trouble = Trouble.SILENT
    hardware.thermometers[rom(7)] = Thermometer()
    running = on_board(_printed_forever("sensors.found()"), hardware)
    thermometers = [f"ds18b20:{one.hex()}" for one in (*ROMS, rom(7))]
    eventually(lambda: [["pzem_b", "pzem_c", *thermometers]] in running.printed)


def test_a_thermometer_without_a_supply_is_named_as_such(
    on_board,
):
    hardware = _hardware()
    hardware.thermometers[rom(7)] = Thermometer(is_parasitic=True)
    running = on_board(_printed_forever("sensors.found()"), hardware)
    named = f"ds18b20:{rom(7).hex()}:parasite_power"
    found = eventually(lambda: [one for one in running.printed if named in one[0]])
    powered = [f"ds18b20:{one.hex()}" for one in ROMS]
    assert [name for name in found[0][0] if name.startswith("ds18b20")] == [
        *powered,
        named,
    ]


def test_sampling_does_not_grow_the_heap(on_board):
    code = """
import gc
async def main():
    window = Window()
    for cycle in range(41):
        await sensors.sample(window)
        window.clear()
        if cycle % 10 == 0:
            gc.collect()
            emit(gc.mem_alloc())
asyncio.run(main())
"""
    hardware = _hardware()
    hardware.meters[2].trouble = Trouble.GARBLED
    hardware.thermometers[ROMS[1]].trouble = Trouble.GARBLED
    used = [
        count
        for (count,) in on_board(WITHOUT_CONVERSION + SAMPLE + code, hardware).ended()
    ]
    assert len(used) == 5
    assert max(used[1:]) - min(used[1:]) < 500  # bytes; 30 cycles are between
