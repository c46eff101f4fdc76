"""Modbus RTU: golden frames, and what a line does to them."""

import asyncio

from egiz_edge.drivers import SensorError
from egiz_edge.drivers.modbus import Bus, crc16, find, framed

GENERAL = 0xF8  # as modbus.py has it: in the bundle, only the number is left
READ = bytes([1, 4, 0, 0, 0, 10])
HEADER = bytes([1, 4, 20])
REPLY = bytes.fromhex("01041408D1006C000000F400000026000001F40064000051 34")


class Line:
    """A UART on which `answers` arrive, in turn, after each request."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.waiting = b""
        self.requests = []

    def write(self, request):
        self.requests.append(request)
        self.waiting += self._answers.pop(0)

    async def drain(self):
        pass

    async def read(self, _n):
        while not self.waiting:  # as a UART is polled
            await asyncio.sleep(0.001)
        chunk, self.waiting = self.waiting[:7], self.waiting[7:]
        return chunk


def ask(line, body=READ, header=HEADER, length=25):
    return asyncio.run(Bus((line, line)).ask(body, header, length, 60))


def fault_of(answer, **request):
    return fault_on(Line(answer), **request)


def fault_on(line, **request):
    try:
        ask(line, **request)
    except SensorError as error:
        return error.args[0]
    raise AssertionError("no fault")


def test_requests_are_the_golden_frames():
    for frame in (
        "01 04 00 00 00 0A 70 0D",
        "02 04 00 00 00 0A 70 3E",
        "03 04 00 00 00 0A 71 EF",
        "F8 04 00 00 00 0A 64 64",
        "01 42 80 11",
        "02 42 80 E1",
        "03 42 81 71",
        "F8 06 00 02 00 01 FD A3",
        "F8 06 00 02 00 02 BD A2",
        "F8 06 00 02 00 03 7C 62",
        "F8 03 00 02 00 01 31 A3",
    ):
        golden = bytes.fromhex(frame)
        assert framed(golden[:-2]) == golden
        line = Line(golden)  # a write is answered with itself
        assert ask(line, golden[:-2], golden[:2], len(golden)) == golden
        assert line.requests == [golden]


def test_the_crc_of_a_frame_with_its_crc_is_zero():
    assert crc16(REPLY) == 0


def test_a_reply_is_given_whole():
    assert ask(Line(REPLY)) == REPLY


def test_an_echo_of_the_request_is_no_reply_and_hides_none():
    assert ask(Line(framed(READ) + REPLY)) == REPLY
    assert fault_of(framed(READ)) == "no_reply"
    assert fault_of(framed(READ)[:5]) == "no_reply"


def test_noise_and_the_late_reply_of_another_do_not_hide_a_reply():
    other = framed(bytes([2]) + REPLY[1:-2])
    for noise in (b"\x00", b"\xff\x00\x01", b"\x01\x04", REPLY[:3], REPLY[:24], other):
        assert ask(Line(noise + REPLY)) == REPLY
    assert fault_of(other) == "crc"


def test_a_late_reply_on_the_line_is_dropped():
    old = framed(HEADER + bytes(20))
    line = Line(REPLY)
    line.waiting = old + old[:9]
    assert ask(line) == REPLY


def test_a_flipped_bit_anywhere_is_noticed():
    for position in range(len(REPLY)):
        for bit in range(8):
            frame = bytearray(REPLY)
            frame[position] ^= 1 << bit
            assert find(bytes(frame), HEADER, 25) is None


def test_a_missing_byte_anywhere_is_noticed():
    for position in range(len(REPLY)):
        slipped = REPLY[:position] + REPLY[position + 1 :]
        assert find(slipped, HEADER, 25) is None
        assert find(slipped + REPLY, HEADER, 25) == REPLY


def test_a_truncated_reply_is_noticed_at_every_length():
    for length in range(len(REPLY)):
        assert find(REPLY[:length], HEADER, 25) is None
    assert fault_of(b"") == "no_reply"
    assert fault_of(REPLY[:3]) == "crc"
    assert fault_of(REPLY[:24]) == "crc"


def test_a_reply_of_another_meter_or_to_another_request_is_ignored():
    assert find(REPLY, bytes([2, 4, 20]), 25) is None
    assert find(REPLY, bytes([1, 3, 20]), 25) is None
    assert find(framed(bytes([1, 4, 2, 0, 0])), HEADER, 25) is None


def _at_once(one, two, late):
    """What a line has of two that send: low wins, and idle is high."""
    first = one + b"\xff" * late
    second = b"\xff" * late + two
    return bytes([first[n] & second[n] for n in range(len(first))])


def test_two_meters_with_one_address_give_no_number_that_neither_has_sent():
    other = framed(HEADER + bytes.fromhex("0901038400010C35 0000270F000001F4 00630000"))
    assert len(other) == len(REPLY)
    for one, two in ((REPLY, other), (other, REPLY)):
        for late in range(len(REPLY) + 1):
            found = find(_at_once(one, two, late), HEADER, 25)
            assert found in {None, one, two}, late
        assert fault_of(_at_once(one, two, 0)) == "crc"


def test_at_the_general_address_a_reply_of_any_meter_is_accepted():
    for address in (1, 7, GENERAL):
        reply = framed(bytes([address, 3, 2, 0, address]))
        assert find(reply, bytes([GENERAL, 3, 2]), 7) == reply


def test_an_exception_has_its_code():
    assert fault_of(bytes.fromhex("018402C2C1")) == "exception_2"
    refused = framed(bytes([1, 0xC2, 4]))
    assert fault_of(refused, body=b"\x01\x42", header=b"\x01\x42", length=4) == (
        "exception_4"
    )
    assert find(bytes.fromhex("018402C2C0"), HEADER, 25) is None
    assert find(bytes.fromhex("018402C2"), HEADER, 25) is None


def test_a_line_that_never_stops_sending_costs_limited_time_and_memory():
    class Endless(Line):
        async def read(self, _n):
            await asyncio.sleep(0)
            return b"\x55" * 7

    line = Endless(b"")
    bus = Bus((line, line))
    fault = None
    try:
        asyncio.run(bus.ask(READ, HEADER, 25, 60))
    except SensorError as error:
        fault = error.args[0]
    assert fault == "crc"
    assert 25 <= len(bus.heard) < 200  # what it holds of memory


def test_a_closed_line_does_not_block_other_tasks():
    class Closed(Line):
        async def read(self, _n):
            return b""

    assert fault_on(Closed(b"")) == "no_reply"
