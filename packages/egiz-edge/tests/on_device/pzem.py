"""PZEM-004T: golden frames, as captured from modules."""

from egiz_edge.drivers.pzem import PzemError, crc16, parse, request

REPLY = bytes.fromhex("01041408D1006C000000F400000026000001F40064000051 34")


def _fault_of(address, frame):
    try:
        parse(address, frame)
    except PzemError as fault:
        return fault.args[0]
    raise AssertionError("taken as a reading")


def test_requests_are_the_golden_frames():
    assert request(1) == bytes.fromhex("01040000000A700D")
    assert request(2) == bytes.fromhex("02040000000A703E")
    assert request(3) == bytes.fromhex("03040000000A71EF")


def test_the_golden_reply_is_225_7_volts():
    assert parse(1, REPLY) == (2257, 108, 244, 38, 500, 100)


def test_32_bit_values_have_the_low_word_first():
    body = bytes.fromhex("010414 08D1 5678 1234 0001 0002 0003 0004 01F4 0064 0000")
    frame = body + crc16(body).to_bytes(2, "little")
    assert parse(1, frame)[1:4] == (0x12345678, 0x00020001, 0x00040003)


def test_nothing_is_no_reply_and_not_zero_volts():
    assert _fault_of(1, b"") == "no_reply"
    assert _fault_of(1, REPLY[:4]) == "no_reply"


def test_a_flipped_bit_anywhere_is_noticed():
    for position in range(len(REPLY)):
        for bit in range(8):
            frame = bytearray(REPLY)
            frame[position] ^= 1 << bit
            assert _fault_of(1, bytes(frame)) == "crc"


def test_a_truncated_reply_is_noticed_at_every_length():
    for length in range(5, len(REPLY)):
        assert _fault_of(1, REPLY[:length]) == "crc"


def test_the_reply_of_another_meter_is_not_taken():
    assert _fault_of(2, REPLY) == "crc"


def test_an_exception_tells_its_code():
    assert _fault_of(1, bytes.fromhex("018402C2C1")) == "exception_2"
