"""MAX31855 and MAX6675: words of the data sheets."""

import asyncio

from _bus import Bus
from egiz_edge.drivers import SensorError
from egiz_edge.drivers.thermocouple import RANGE, Thermocouple, max6675, max31855
from egiz_schema import limits


def _word(junction, cold, low=0, fault=0):
    """From the data sheet's tables: 14 and 12 bits."""
    word = junction << 18 | fault << 16 | cold << 4 | low
    return bytes([word >> 24, word >> 16 & 0xFF, word >> 8 & 0xFF, word & 0xFF])


def _fault_of(parse, word):
    try:
        parse(word)
    except SensorError as error:
        return error.args[0]
    raise AssertionError("no fault")


def test_junctions_of_the_data_sheet():
    for bits, hundredths in (
        (0b01100100000000, 160000),
        (0b00111110100000, 100000),
        (0b00000110010011, 10075),
        (0b00000001100100, 2500),
        (0b00000000000000, 0),
        (0b11111111111111, -25),
        (0b11111111111100, -100),
        (0b11110000011000, -25000),
    ):
        assert max31855(_word(bits, 0x190)) == (hundredths, 2500)


def test_cold_junctions_of_the_data_sheet():
    for bits, hundredths in (
        (0b011111110000, 12700),
        (0b011001001001, 10056),  # 100.5625
        (0b000110010000, 2500),
        (0b000000000000, 0),
        (0b111111111111, -6),  # -0.0625
        (0b111111110000, -100),
        (0b111011000000, -2000),
        (0b110010010000, -5500),
    ):
        assert max31855(_word(0x64, bits)) == (2500, hundredths)


def test_each_fault_bit_has_its_name():
    for low, name in (
        (1, "open"),
        (2, "shorted_to_ground"),
        (4, "shorted_to_supply"),
    ):
        assert _fault_of(max31855, _word(0x64, 0x190, low, 1)) == name


def test_a_word_that_the_chip_cannot_send_is_damage():
    valid = _word(0x64, 0x190)
    for broken in (
        bytes([valid[0], valid[1] | 2, valid[2], valid[3]]),  # reserved
        bytes([valid[0], valid[1], valid[2], valid[3] | 8]),  # reserved
        _word(0x64, 0x190, low=0, fault=1),  # a fault without a name
        _word(0x64, 0x190, low=1, fault=0),  # a name without a fault
    ):
        assert _fault_of(max31855, broken) == "crc"


def test_a_line_without_a_chip_is_no_temperature():
    for parse, size in ((max31855, 4), (max6675, 2)):
        assert _fault_of(parse, b"\xff" * size) == "no_reply"
    assert _fault_of(max31855, bytes(4)) == "no_reply"
    assert _fault_of(max6675, bytes(2)) == "range"


def test_the_max6675_has_quarters_of_a_degree_and_none_below_zero():
    for quarters, hundredths in ((1, 25), (100, 2500), (760, 19000), (4094, 102350)):
        word = quarters << 3
        assert max6675(bytes([word >> 8, word & 0xFF])) == (hundredths, None)
    assert _fault_of(max6675, bytes([0x0B, 0xBC])) == "open"
    assert _fault_of(max6675, bytes([0x8B, 0xB8])) == "crc"
    assert _fault_of(max6675, bytes([0x0B, 0xBA])) == "crc"


def test_the_ends_of_the_max6675_stand_for_all_beyond_them_and_are_no_reading():
    for quarters in (0, 4095):
        word = quarters << 3
        assert _fault_of(max6675, bytes([word >> 8, word & 0xFF])) == "range"


def test_what_the_contract_would_drop_is_no_reading():
    # A bundle has no limits that the firmware does not use by name.
    least, most = getattr(limits, "TEMPERATURE_C", (-200, 1800))
    assert (least * 100, most * 100) == RANGE
    coldest, hottest, far = RANGE[0] // 25, RANGE[1] // 25, -1000
    for quarters, cold, expected in (
        (coldest, 400, RANGE[0]),
        (hottest, 400, RANGE[1]),
        (coldest - 1, 400, "range"),
        (hottest + 1, 400, "range"),
        (far, 400, "range"),
        (100, -880, 2500),
        (100, -881, "range"),  # a cold junction at less than -55
        (100, 2033, "range"),
    ):
        spi = Bus(_word(quarters & 0x3FFF, cold & 0xFFF))
        try:
            reading = asyncio.run(Thermocouple(spi, "max31855", "tc_0").read())
        except SensorError as error:
            reading = error.args[0]
        assert reading == expected, (quarters, cold)


def test_it_reads_the_chip_of_its_select_line():
    word = _word(0x64, 0x190)
    spi = Bus(word, word[:2])
    assert asyncio.run(Thermocouple(spi, "max31855", "tc_1").read()) == 2500
    assert asyncio.run(Thermocouple(spi, "max6675", "tc_0").read()) == 1250
    assert spi.requests == [("read", "tc_1", 4), ("read", "tc_0", 2)]
