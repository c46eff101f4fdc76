"""PZEM-004T: golden frames, as captured from modules."""

import asyncio

from _bus import Bus
from _ticks import Ticks
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
    except SensorError as error:
        return error.args[0]
    raise AssertionError("no fault")


def test_the_request_asks_for_all_ten_registers():
    assert framed(pzem.request(1)) == bytes.fromhex("01040000000A700D")
    assert framed(pzem.request(3)) == bytes.fromhex("03040000000A71EF")


def test_the_golden_reply_is_225_7_volts():
    assert pzem.parse(REPLY) == (2257, 108, 244, 38, 500, 100, None)


def test_32_bit_values_have_the_low_word_first():
    frame = _reply(0x08D1, 0x5678, 0x0001, 0x0002, 0x0003, 0x0004, 0x0012, 500, 100, 0)
    assert pzem.parse(frame)[1:4] == (0x00015678, 0x00030002, 0x00120004)


def test_energy_is_a_counter_of_32_bits_and_never_a_float():
    frame = _reply(2300, 0, 0, 0, 0, 0x967F, 0x98, 500, 100, 0)
    energy = pzem.parse(frame)[3]
    assert energy == 9999999
    assert type(energy) is int


def test_both_ends_of_the_range_are_readings():
    frame = _reply(2600, 0x86A0, 1, 0xF7A0, 3, 0x967F, 0x98, 650, 100, 0xFFFF)
    assert pzem.parse(frame) == (2600, 100000, 260000, 9999999, 650, 100, None)
    frame = _reply(800, 0, 0, 0, 0, 0, 0, 450, 0, 0)
    assert pzem.parse(frame) == (800, 0, 0, 0, 450, 0, None)


def test_a_supply_outside_of_the_range_is_no_reading():
    for volts, hertz in (
        (9061, 500),
        (2601, 500),
        (799, 500),
        (0, 500),  # as some are at power-up
        (0xFFFF, 500),
        (2300, 5000),
        (2300, 651),
        (2300, 449),
        (2300, 0),
        (2300, 0xFFFF),
    ):
        frame = _reply(volts, 0, 0, 0, 0, 0, 0, hertz, 100, 0)
        assert _fault_of(lambda frame=frame: pzem.parse(frame)) == "range"
    for words in ((0,) * 10, (0xFFFF,) * 10):
        assert _fault_of(lambda words=words: pzem.parse(_reply(*words))) == "range"


def test_any_other_number_outside_of_the_range_costs_itself_alone():
    for place, low, high in (
        (1, 0xFFFF, 0xFFFF),
        (1, 0xD9CD, 0x3602),  # 906166 A, as in the field
        (1, 0x86A1, 1),
        (2, 0xFFFF, 0xFFFF),
        (2, 0xF7A1, 3),
        (3, 0xFFFF, 0xFFFF),  # as some are at power-up
        (3, 0x9680, 0x98),
    ):
        words = [2300, 0, 0, 0, 0, 17, 0, 500, 100, 0]
        words[2 * place - 1], words[2 * place] = low, high
        expected = [2300, 0, 0, 17, 500, 100, "range"]
        expected[place] = None
        assert pzem.parse(_reply(*words)) == tuple(expected), place
    for factor in (101, 0xFFFF):
        frame = _reply(2300, 0, 0, 0, 0, 17, 0, 500, factor, 0)
        assert pzem.parse(frame) == (2300, 0, 0, 17, 500, None, "range")


def _fault(volts, milliamperes, power, factor):
    reply = _reply(
        volts,
        milliamperes & 0xFFFF,
        milliamperes >> 16,
        power & 0xFFFF,
        power >> 16,
        17,
        0,
        500,
        factor,
        0,
    )
    reading = pzem.parse(reply)
    assert reading[:6] == (volts, milliamperes, power, 17, 500, factor)
    return reading[6]


def test_power_that_is_not_voltage_current_and_factor_is_said_and_costs_nothing():
    for sound in (
        (2300, 10000, 23000, 100),
        (2300, 100000, 218500, 100),  # -5 %
        (2300, 10000, 12650, 50),
        (2300, 20, 22, 0),  # at the smallest current
        (2300, 0, 4, 0),  # below it
        (2600, 100000, 260000, 100),
        (800, 0, 0, 0),
    ):
        assert _fault(*sound) is None, sound
    for wrong in (
        (2300, 10000, 0, 100),
        (2300, 10000, 46000, 100),
        (2300, 10000, 23000, 50),
        (2300, 10000, 23000, 0),
        (2300, 1000, 23000, 100),
        (2300, 0, 23000, 0),
        (1150, 10000, 23000, 100),
        (2300, 100000, 216000, 100),  # -6 %
        (2300, 10, 60, 100),
    ):
        assert _fault(*wrong) == "inconsistent", wrong


def test_what_is_as_accurate_as_the_data_sheet_says_is_never_inconsistent():
    for volts in (800, 2300, 2600):
        for milliamperes in (0, 20, 105, 999, 10000, 98000):
            for factor in (0, 1, 37, 50, 99):
                exact = volts * milliamperes * factor // 100000
                for error in (-15, 15):  # 0.5 % of each of the three, in thousandths
                    power = max(0, exact + exact * error // 1000)
                    for shown in (factor, factor + 1):  # 1 %, and it has two digits
                        found = _fault(volts, milliamperes, power, shown)
                        assert found is None, (volts, milliamperes, factor, error)


def test_a_counter_that_cannot_be_read_is_not_reset():
    ones = _reply(2300, 0, 0, 0, 0, 0xFFFF, 0xFFFF, 500, 100, 0)
    bus = Bus(framed(bytes([1, 0x42])), ones)
    pzem.time = Ticks()
    reset = pzem.Pzem(bus, 1).reset_energy()
    assert _fault_of(lambda: asyncio.run(reset)) == "not_reset"


def _bus(*faults):
    """Answers with faults, each after some milliseconds; then with the golden reply."""
    pzem.time = Ticks()

    def failing(after_ms, fault):
        def answer():
            pzem.time.now += after_ms
            raise SensorError(fault)

        return answer

    return Bus(*[failing(*one) for one in faults], REPLY)


def _waits(bus):
    return [request[-1] for request in bus.requests]


def _read(bus):
    try:
        return asyncio.run(pzem.Pzem(bus, 1).read())
    except SensorError as error:
        return error.args[0]


def test_a_damaged_reply_is_requested_again_in_the_time_that_is_left():
    bus = _bus((130, "crc"))
    assert _read(bus) == (2257, 108, 244, 38, 500, 100, None)
    assert _waits(bus) == [None, 190]
    assert _read(_bus((130, "crc"), (130, "crc"))) == "crc"


def test_three_meters_need_less_than_a_second_in_every_case():
    silent = _bus((250, "no_reply"))
    assert _read(silent) == "no_reply"
    assert _waits(silent) == [None]
    late = _bus((290, "crc"))
    assert _read(late) == "crc"
    assert _waits(late) == [None]
