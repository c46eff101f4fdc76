"""DS18B20: scratchpads of the data sheet, and the traps."""

import asyncio

from _bus import Bus, scratchpad
from egiz_edge.drivers import SensorError
from egiz_edge.drivers.ds18b20 import Ds18b20, crc8, is_rom, parse


def _fault_of(data, last=None):
    try:
        parse(data, last)
    except SensorError as error:
        return error.args[0]
    raise AssertionError("no fault")


def test_the_crc_is_that_of_application_note_27():
    assert crc8(bytes.fromhex("021CB801000000")) == 0xA2


def test_temperatures_of_the_data_sheet():
    for raw, hundredths in (
        (0x07D0, 12500),
        (0x0191, 2506),  # 25.0625
        (0x00A2, 1013),  # 10.125, half up
        (0x0008, 50),
        (0x0000, 0),
        (0xFFF8, -50),
        (0xFE6F, -2506),
        (0xFC90, -5500),
    ):
        assert parse(scratchpad(raw)) == hundredths


def test_what_the_part_cannot_measure_is_no_temperature():
    for raw in (0x07D1, 0x07FE, 0x7CFE, 0x7FFF, -0x0371, -0x8000):
        assert _fault_of(scratchpad(raw)) == "range"


def test_85_degrees_is_a_reading_unless_it_is_the_power_on_state():
    assert parse(scratchpad(0x0550)) == 8500
    assert _fault_of(scratchpad(0x0550, byte6=0x0C)) == "power_on"


def test_a_failed_conversion_is_no_temperature():
    assert _fault_of(scratchpad(0x07FF)) == "conversion"


def test_all_zeros_of_a_shorted_bus_are_refused_though_their_crc_is_right():
    assert crc8(bytes(9)) == 0
    assert _fault_of(bytes(9)) == "shorted"


def test_a_bus_without_a_part_reads_all_ones():
    assert _fault_of(b"\xff" * 9) == "no_reply"


def test_bits_below_the_resolution_are_undefined_and_not_read():
    for config, hundredths in (
        (0x1F, 2500),
        (0x3F, 2525),
        (0x5F, 2538),
        (0x7F, 2544),
    ):
        assert parse(scratchpad(0x0197, config=config)) == hundredths
    assert parse(scratchpad(-0x0191, config=0x1F)) == -2550


def test_a_config_byte_that_no_part_has_is_damage():
    for config in (0x00, 0x7E, 0xFF, 0x6F):
        assert _fault_of(scratchpad(0x0191, config=config)) == "crc"


def test_the_85_degrees_of_a_clone_are_accepted_near_85_only():
    stuck = scratchpad(0x0550, byte6=0x0C)
    assert parse(stuck, last=8444) == 8500
    assert parse(stuck, last=8700) == 8500
    for last in (None, 2100, 8299, 8701):
        assert _fault_of(stuck, last) == "power_on"


def test_a_rom_id_has_a_family_and_a_crc():
    body = bytes.fromhex("28FF641E0F1603")
    assert is_rom(body + bytes([crc8(body)]))
    assert not is_rom(body + bytes([crc8(body) ^ 1]))
    assert not is_rom(body)
    other = bytes.fromhex("10FF641E0F1603")
    assert not is_rom(other + bytes([crc8(other)]))


def _read(thermometer):
    try:
        return asyncio.run(thermometer.read())
    except SensorError as error:
        return error.args[0]


def test_a_damaged_scratchpad_is_read_three_times():
    valid, bad = scratchpad(0x0191), bytes(8) + b"\x01"
    bus = Bus(bad, b"", valid, valid, bad, bad, bad, valid)
    thermometer = Ds18b20(bus, bytes(8))
    assert [_read(thermometer) for _ in range(4)] == [2506, 2506, "crc", 2506]
    assert bus.answers == []


def test_a_fault_that_reading_again_cannot_mend_is_not_read_again():
    thermometer = Ds18b20(Bus(bytes(9), scratchpad(0x07FF)), bytes(8))
    assert _read(thermometer) == "shorted"
    assert _read(thermometer) == "conversion"


def test_after_a_fault_85_degrees_are_not_accepted_from_a_clone():
    near, stuck = scratchpad(0x0548), scratchpad(0x0550, byte6=0x0C)
    bus = Bus(near, stuck, stuck, bytes(9), stuck)
    thermometer = Ds18b20(bus, bytes(8))
    readings = [_read(thermometer) for _ in range(5)]
    assert readings == [8450, 8500, 8500, "shorted", "power_on"]


def test_a_short_answer_is_no_reply():
    assert _fault_of(b"") == "no_reply"
    assert _fault_of(scratchpad(0x0191)[:8]) == "no_reply"


def test_a_flipped_bit_anywhere_is_noticed():
    valid = scratchpad(0x0191)
    for position in range(9):
        for bit in range(8):
            spoiled = bytearray(valid)
            spoiled[position] ^= 1 << bit
            assert _fault_of(bytes(spoiled)) == "crc"
