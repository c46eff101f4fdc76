"""DS18B20: scratchpads of the data sheet, and the traps."""

from egiz_edge.drivers.ds18b20 import Ds18b20Error, crc8, parse


def _scratchpad(raw, byte6=None):
    raw &= 0xFFFF
    if byte6 is None:
        byte6 = 0x10 - (raw & 0x0F)
    body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, byte6, 0x10])
    return body + bytes([crc8(body)])


def _fault_of(scratchpad):
    try:
        parse(scratchpad)
    except Ds18b20Error as fault:
        return fault.args[0]
    raise AssertionError("taken as a reading")


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
        assert parse(_scratchpad(raw)) == hundredths


def test_85_degrees_is_a_reading_unless_it_is_the_power_on_state():
    assert parse(_scratchpad(0x0550)) == 8500
    assert _fault_of(_scratchpad(0x0550, byte6=0x0C)) == "power_on"


def test_a_failed_conversion_is_no_temperature():
    assert _fault_of(_scratchpad(0x07FF)) == "conversion"


def test_a_shorted_bus_reads_all_zeros_whose_crc_is_right():
    assert crc8(bytes(9)) == 0
    assert _fault_of(bytes(9)) == "shorted"


def test_nobody_there_reads_all_ones():
    assert _fault_of(b"\xff" * 9) == "crc"


def test_a_short_answer_is_no_reply():
    assert _fault_of(b"") == "no_reply"
    assert _fault_of(_scratchpad(0x0191)[:8]) == "no_reply"


def test_a_flipped_bit_anywhere_is_noticed():
    good = _scratchpad(0x0191)
    for position in range(9):
        for bit in range(8):
            spoiled = bytearray(good)
            spoiled[position] ^= 1 << bit
            assert _fault_of(bytes(spoiled)) == "crc"
