"""The virtual board: MicroPython's unix port, with its hardware played by the host.

The host gives pseudo-terminals for the buses, on which it speaks what the real parts
speak (Modbus RTU; 1-Wire function commands and scratchpads), and a directory with a
file for each pin and stored value.
"""

import asyncio
import os
import time

_MATCH_ROM, _SKIP_ROM = b"\x55", b"\xcc"
_CONVERT, _READ_SCRATCHPAD = b"\x44", b"\xbe"
_SLOT_S = 0.2  # a scratchpad takes 9 bytes at 16 kbit/s; the host is slower


class Board:
    """The board in `directory`."""

    def __init__(self, directory):
        self.uart = _stream_pair(directory + "/uart")
        self.onewire = OneWire(_stream_pair(directory + "/onewire"))
        self.pins = {name: Pin(directory + "/pin_" + name) for name in PINS}
        self.clock = Clock()
        self.wifi = Wifi(directory + "/rssi")
        self.store = Store(directory)


PINS = ("running", "fault")


class OneWire:
    """The bus; a reset pulse before each command is understood."""

    def __init__(self, stream):
        self._reader, self._writer = stream

    async def convert(self):
        """Have all thermometers measure; they take 750 ms."""
        self._writer.write(_SKIP_ROM + _CONVERT)
        await self._writer.drain()

    async def read_scratchpad(self, rom):
        """The nine bytes of one thermometer; fewer if it is not there."""
        self._writer.write(_MATCH_ROM + rom + _READ_SCRATCHPAD)
        await self._writer.drain()
        try:
            return await asyncio.wait_for(self._reader.readexactly(9), _SLOT_S)
        except (asyncio.TimeoutError, EOFError):
            return b""


class Pin:
    """A digital input: a file that holds 0 or 1."""

    def __init__(self, path):
        self._path = path

    def value(self):
        """Its level now."""
        return 1 if _read(self._path) == "1" else 0


class Clock:
    """The host's clock: 1970, and right from the start."""

    def now_ms(self):
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1000000

    def is_synced(self):
        """Whether `now_ms` can be trusted."""
        return True


class Wifi:
    """The host's network: always there."""

    def __init__(self, path):
        self._path = path

    async def connect(self):
        """Returns when there is a network."""

    def rssi(self):
        """dBm, or None."""
        told = _read(self._path)
        return int(told) if told else None


class Store:
    """A file for each value; a power cut leaves the old or the new one."""

    def __init__(self, directory):
        self._directory = directory

    def get(self, key):
        """The value as text, or None."""
        return _read(self._path(key))

    def put(self, key, value):
        """Keep a text."""
        path = self._path(key)
        with open(path + ".new", "w") as file:
            file.write(value)
        os.rename(path + ".new", path)

    def _path(self, key):
        return self._directory + "/store_" + key


class _Pty(asyncio.StreamReader):
    """A pseudo-terminal, read byte by byte.

    A file's read(n) holds up all tasks until n bytes are there, and a meter may send
    fewer.
    """

    async def read(self, _n):
        return await super().read(1)

    async def readexactly(self, n):
        data = b""
        while len(data) < n:
            data += await super().read(1)
        return data


def _stream_pair(path):
    """A pseudo-terminal as (reader, writer)."""
    stream = _Pty(open(path, "r+b"))
    return stream, stream


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None
