"""Sampling: what is missing is named, what is old is not read."""

import asyncio

from egiz_edge import sensors
from egiz_edge.drivers import pzem
from egiz_edge.drivers.ds18b20 import crc8
from egiz_edge.window import Window

ROM = b"\x28\0\0\0\0\0\0\x1e"


class _Clock:
    """Stands in for `time`, which CPython's has no ticks."""

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, later, earlier):
        return later - earlier


class _OneWire:
    """One thermometer, which counts its conversions: 10, 20, 30 °C."""

    def __init__(self):
        self.conversions = 0

    async def convert(self):
        self.conversions += 1

    async def read_scratchpad(self, rom):
        assert rom == ROM
        raw = 160 * self.conversions
        body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, 0x08, 0x10])
        return body + bytes([crc8(body)])


class _Pin:
    def __init__(self, level):
        self.level = level

    def value(self):
        return self.level


class _Broken:
    """A UART whose port has failed."""

    async def read(self, _n):
        raise OSError(5)


class _Board:
    def __init__(self):
        self.uart = (_Broken(), None)
        self.onewire = _OneWire()
        self.spi = None
        self.pins = {"running": _Pin(1), "fault": _Pin(0), "input_3": _Pin(0)}


def _sampled(board, at_ms, **more):
    """The window of one sample at each of some instants."""
    sensors.CONVERSION_MS = 20
    sensors.time = pzem.time = _Clock()
    sampler = sensors.Sensors(board, [ROM], **more)
    windows = []

    async def run():
        for now in at_ms:
            sensors.time.now = now
            windows.append(Window())
            await sampler.sample(windows[-1])

    asyncio.run(run())
    return windows


def test_a_conversion_is_read_when_it_is_done_and_the_next_begins():
    board = _Board()
    windows = _sampled(board, (0, 10, 1000))
    assert [window.mean("t0") for window in windows] == [1000, None, 2000]
    assert board.onewire.conversions == 3
    assert [window.zones for window in windows] == [1, 1, 1]


def test_a_conversion_of_another_time_is_not_read():
    windows = _sampled(_Board(), (0, 3600000))
    # The second began at 0; an hour later it is not read, but a third.
    assert [window.mean("t0") for window in windows] == [1000, 3000]


def test_a_port_that_fails_is_a_fault_code_of_each_that_needs_it():
    (window,) = _sampled(_Board(), (0,))
    assert window.faults == ["pzem_a:bus", "pzem_b:bus", "pzem_c:bus"]
    assert window.mean("ua") is None
    assert window.mean("t0") == 1000
    assert window.state == "running"


def test_states_are_those_that_are_told():
    board = _Board()
    board.pins["input_3"].level = 1
    states = (("fault", "fault"), ("cleaning", "input_3"), ("running", "running"))
    (window,) = _sampled(board, (0,), states=states)
    assert window.state == "cleaning"
