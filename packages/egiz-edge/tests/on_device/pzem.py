"""PZEM-004T: golden frames, as captured from modules."""

import asyncio

from egiz_edge.drivers import SensorError, pzem
from egiz_edge.drivers.modbus import framed

REPLY = bytes.fromhex("01041408D1006C000000F400000026000001F40064000051 34")


def _reply(*words):
    body = bytes([1, 4, 20])
    for word in words:
        body += bytes([word >> 8, word & 0xFF])
    return framed(body)


def _fault_of(work):
    try:
        work()
    except SensorError as fault:
        return fault.args[0]
    raise AssertionError("went well")


def test_the_request_asks_for_all_ten_registers():
    assert framed(pzem.request(1)) == bytes.fromhex("01040000000A700D")
    assert framed(pzem.request(3)) == bytes.fromhex("03040000000A71EF")


def test_the_golden_reply_is_225_7_volts():
    assert pzem.parse(REPLY) == (2257, 108, 244, 38, 500, 100)


def test_32_bit_values_have_the_low_word_first():
    frame = _reply(0x08D1, 0x5678, 0x0001, 0x0002, 0x0003, 0x0004, 0x1234, 500, 100, 0)
    assert pzem.parse(frame)[1:4] == (0x00015678, 0x00030002, 0x12340004)


def test_energy_is_a_counter_of_32_bits_and_never_a_float():
    frame = _reply(2300, 0, 0, 0, 0, 0xFFFF, 0xFFFF, 500, 100, 0)
    energy = pzem.parse(frame)[3]
    assert energy == 4294967295
    assert type(energy) is int


def test_the_most_that_the_module_measures_is_a_reading():
    frame = _reply(2600, 0x86A0, 1, 0xF7A0, 3, 0x967F, 0x98, 650, 100, 0xFFFF)
    assert pzem.parse(frame) == (2600, 100000, 260000, 9999999, 650, 100)


def test_a_number_that_it_cannot_measure_is_no_reading():
    for words in (
        (9061, 0, 0, 0, 0, 0, 0, 500, 100, 0),
        (2300, 0xD9CD, 0x3602, 0, 0, 0, 0, 500, 100, 0),  # 906166 A, as in the field
        (2300, 0, 0, 0xFFFF, 0xFFFF, 0, 0, 500, 100, 0),
        (2300, 0, 0, 0, 0, 0, 0, 5000, 100, 0),
        (2300, 0, 0, 0, 0, 0, 0, 500, 101, 0),
    ):
        assert _fault_of(lambda words=words: pzem.parse(_reply(*words))) == "range"


class _Clock:
    """Stands in for `time`."""

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, later, earlier):
        return later - earlier


class _Bus:
    """Answers with faults, each of which takes its time; then with the golden reply."""

    def __init__(self, *faults):
        pzem.time = self.clock = _Clock()
        self._faults = list(faults)
        self.waits = []

    async def ask(self, _body, _header, _length, wait_ms=None):
        self.waits.append(wait_ms)
        if not self._faults:
            return REPLY
        took_ms, fault = self._faults.pop(0)
        self.clock.now += took_ms
        raise SensorError(fault)


def _read(bus):
    try:
        return asyncio.run(pzem.Pzem(bus, 1).read())
    except SensorError as fault:
        return fault.args[0]


def test_a_garbled_reply_is_asked_for_again_in_what_is_left_of_the_time():
    bus = _Bus((130, "crc"))
    assert _read(bus) == (2257, 108, 244, 38, 500, 100)
    assert bus.waits == [None, 190]
    assert _read(_Bus((130, "crc"), (130, "crc"))) == "crc"


def test_three_meters_take_less_than_a_second_whatever_they_do():
    silent = _Bus((250, "no_reply"))
    assert _read(silent) == "no_reply"
    assert silent.waits == [None]
    late = _Bus((290, "crc"))
    assert _read(late) == "crc"
    assert late.waits == [None]
