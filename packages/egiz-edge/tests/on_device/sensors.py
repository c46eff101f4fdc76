"""Sampling: what is missing is a fault code, what is old is not read."""

import asyncio

from _bus import Bus, Pin, scratchpad
from _ticks import Ticks
from egiz_edge import sensors
from egiz_edge.drivers import pzem
from egiz_edge.payloads import Window
from egiz_edge.ports.virtual import OneWire  # noqa: TID251  # its bound is tested

ROM = b"\x28\0\0\0\0\0\0\x1e"


class _Broken:
    """A UART with a port that has failed."""

    async def read(self, _n):
        raise OSError(5)


class _Board:
    def __init__(self):
        self.uart = (_Broken(), None)
        self.onewire = Bus(self._scratchpad, self._scratchpad)
        self.spi = None
        self.pins = {"running": Pin(1), "fault": Pin(0), "input_3": Pin(0)}

    def _scratchpad(self):
        return scratchpad(160 * self.conversions())  # 10, 20, 30 °C

    def conversions(self):
        return self.onewire.requests.count(("convert",))


def _sampled(board, at_ms, **more):
    """The window of one sample at each of some instants."""
    sensors.CONVERSION_MS = 20
    sensors.time = pzem.time = Ticks()
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
    assert board.conversions() == 3
    reads = [request for request in board.onewire.requests if len(request) > 1]
    assert reads == [("read_scratchpad", ROM)] * 2
    assert [window.zones for window in windows] == [1, 1, 1]


def test_an_old_conversion_is_not_read():
    windows = _sampled(_Board(), (0, 3600000))
    # The second began at 0; an hour later it is not read, but a third.
    assert [window.mean("t0") for window in windows] == [1000, 3000]


def test_a_port_that_fails_is_a_fault_code_of_each_that_needs_it():
    (window,) = _sampled(_Board(), (0,))
    assert window.faults == ["pzem_a:bus", "pzem_b:bus", "pzem_c:bus"]
    assert window.mean("ua") is None
    assert window.mean("t0") == 1000
    assert window.state == "running"


def test_states_are_those_of_the_settings():
    board = _Board()
    board.pins["input_3"].levels = [1]
    states = (("fault", "fault"), ("cleaning", "input_3"), ("running", "running"))
    (window,) = _sampled(board, (0,), states=states)
    assert window.state == "cleaning"


class _Sometimes:
    """A meter that answers one time in five."""

    def __init__(self):
        self._asked = 0

    async def read(self):
        self._asked += 1
        if self._asked % 5:
            raise sensors.SensorError("no_reply")
        return 2310, 0, 0, 7, 500, None, "range"


def test_a_mean_of_one_sample_in_five_is_that_sample_and_says_so():
    sensors.Pzem = lambda _bus, address: _Sometimes() if address == 1 else _Meter([])
    try:
        sampler = sensors.Sensors(_Board(), [])
    finally:
        sensors.Pzem = pzem.Pzem
    window = Window()

    async def run():
        for _ in range(5):
            await sampler.sample(window)

    asyncio.run(run())
    assert (window.mean("ua"), window.last["ea"]) == (2310, 7)
    assert window.mean("ub") == 2300
    assert window.count() == (1, 5)
    assert window.faults == ["pzem_a:no_reply", "pzem_a:range"]


def _codes_of(*readings):
    """Fault codes of the first meter, sample by sample; None is a command between."""
    sensors.Pzem = lambda _bus, address: _Meter(readings if address == 1 else [])
    try:
        sampler = sensors.Sensors(_Board(), [])
    finally:
        sensors.Pzem = pzem.Pzem
    codes = []

    async def run():
        for watt_hours in readings:
            window = Window()
            if watt_hours is None:
                assert await sampler.reset_energy() == []
                continue
            await sampler.sample(window)
            assert window.last["ea"] == watt_hours  # metering goes on
            codes.append(window.faults)

    asyncio.run(run())
    return codes


class _Meter:
    def __init__(self, energy):
        self._energy = [one for one in energy if one is not None]

    async def read(self):
        energy = self._energy.pop(0) if self._energy else 0
        return 2300, 0, 0, energy, 500, 100, None

    async def reset_energy(self):
        pass


def test_energy_that_falls_is_said_once():
    fell = ["pzem_a:energy_fell"]
    assert _codes_of(9999999, 0, 0, 1) == [[], fell, [], []]  # it is exchanged, or full
    assert _codes_of(500, 499, 500) == [[], fell, []]
    assert _codes_of(500, 500, 501) == [[], [], []]


def test_energy_that_falls_by_a_command_is_not_said():
    assert _codes_of(500, None, 0, 1) == [[], [], []]


class _Crowd:
    """A line that answers a search with 255 ROM ids, one of which is sound."""

    def __init__(self):
        self._read = 0

    def write(self, _command):
        pass

    async def drain(self):
        pass

    async def readexactly(self, n):
        self._read += n
        if n == 1:
            return b"\1" if self._read == 1 else b"\xff"
        number = (self._read - 2) // 8
        return b"\x28\0\0\0\0\0\0\x1e" if number == 3 else b"\xfe" * 7 + bytes([number])


def test_a_line_that_finds_hundreds_of_parts_costs_bounded_memory():
    line = _Crowd()
    found = asyncio.run(OneWire((line, line)).search())
    assert len(found) == 32
    assert found[2] == ROM
    assert line._read == 2 + 255 * 8  # nothing is left in the line


def test_an_id_with_a_wrong_crc_is_not_listed():
    board = _Board()
    line = _Crowd()
    board.onewire = OneWire((line, line))
    found = asyncio.run(sensors.Sensors(board, []).found())
    assert found == ["ds18b20:" + ROM.hex()]
