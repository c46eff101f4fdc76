"""The virtual board: MicroPython's unix port, with hardware that the host simulates.

The host gives pseudo-terminals for the buses, on which it speaks what the real parts
speak (Modbus RTU; 1-Wire function commands and scratchpads; SPI words), and one for the
reset circuit. A directory holds a file for each pin and stored value, and the files
that say what world it is in: `clock`, `wifi`, `networks`, `name_servers`, `rssi`,
`reset_cause`, `chip`.
"""

import asyncio
import os
import time

from egiz_edge.ports import ROMS_MAX, check_stored
from egiz_edge.ports.virtual_wifi import Wifi, read

_PINS = ("running", "fault", "input_3", "button")

_MATCH_ROM, _SKIP_ROM, _SEARCH_ROM = b"\x55", b"\xcc", b"\xf0"
_CONVERT, _READ_SCRATCHPAD, _READ_SUPPLY = b"\x44", b"\xbe", b"\xb4"
_YEAR_2000_MS = 946684800000  # after 1970: where a board's clock starts
_YEAR_2020_MS = 1577836800000


class Board:
    """The board in `directory`."""

    def __init__(self, directory):
        self._directory = directory
        self._reset_line = open(directory + "/reset", "r+b", 0)
        self.uart = _stream_pair(directory + "/uart")
        self.onewire = OneWire(_stream_pair(directory + "/onewire"))
        self.spi = Spi(_stream_pair(directory + "/spi"))
        self.pins = {name: Pin(directory + "/pin_" + name) for name in _PINS}
        self.clock = Clock(read(directory + "/clock") != "unsynced")
        self.wifi = Wifi(directory)
        self.store = Store(directory)
        self.watchdog = Watchdog(self._reset_line)
        self.data_directory = directory + "/data"
        try:
            os.mkdir(self.data_directory)
        except OSError:
            pass  # there since the first boot

    def chip_id(self):
        """As a chip has one: by where the board is on the host."""
        return read(self._directory + "/chip") or ""

    def reset_cause(self):
        """Why this boot, as `egiz_edge.ports` lists it."""
        return read(self._directory + "/reset_cause") or "unknown"

    def reboot(self):
        """Reset the board. The host does it, so that nothing is unwound or flushed."""
        self._reset_line.write(b"r")
        while True:
            time.sleep(1)

    def access_point(self):
        """The board's own network."""
        from egiz_edge.ports.virtual_ap import AccessPoint  # noqa: PLC0415  # see there

        return AccessPoint(self._directory)

    def identify(self, on):
        """Light the LED, or not."""
        with open(self._directory + "/led", "w") as file:
            file.write("1" if on else "0")


class OneWire:
    """The bus. The host receives what follows the reset pulse.

    It answers whether a part is present, and then what is read.
    """

    def __init__(self, stream):
        self._reader, self._writer = stream

    async def convert(self):
        """Have all thermometers measure; they take 750 ms."""
        await self._ask(_SKIP_ROM + _CONVERT, 0)

    async def read_scratchpad(self, rom):
        """The nine bytes of one thermometer; none if the bus is empty."""
        return await self._ask(_MATCH_ROM + rom + _READ_SCRATCHPAD, 9)

    async def is_parasitic(self, rom):
        """Whether a thermometer has no supply: it answers with a 0."""
        return await self._ask(_MATCH_ROM + rom + _READ_SUPPLY, 1) == b"\0"

    async def search(self):
        """The ROM ids of all that are there.

        The real search is a dialogue of single bits; the host sends how many it finds.
        """
        count = await self._ask(_SEARCH_ROM, 1)
        roms = []
        for _ in range(count[0] if count else 0):
            rom = await self._reader.readexactly(8)
            if len(roms) < ROMS_MAX:
                roms.append(rom)
        return roms

    async def _ask(self, command, n):
        self._writer.write(command)
        await self._writer.drain()
        is_present = await self._reader.readexactly(1)
        return await self._reader.readexactly(n) if is_present[0] else b""


class Spi:
    """The bus; the host receives which chip is selected, and the number of bytes."""

    def __init__(self, stream):
        self._reader, self._writer = stream

    async def read(self, cs_name, n):
        """`n` bytes of a chip; SPI cannot detect that none is there."""
        self._writer.write(bytes([n]) + cs_name.encode() + b"\n")
        await self._writer.drain()
        return await self._reader.readexactly(n)


class Pin:
    """A digital input: a file that holds 0 or 1."""

    def __init__(self, path):
        self._path = path

    def value(self):
        """Its level now."""
        return 1 if read(self._path) == "1" else 0


class Clock:
    """The host's clock, or one that starts in the year 2000 and waits to be set."""

    def __init__(self, is_set):
        now_ms = _host_ms()
        self._offset_ms = 0 if is_set else _YEAR_2000_MS - now_ms

    def now_ms(self):
        """Milliseconds since 1970, UTC."""
        return _host_ms() + self._offset_ms

    def is_synced(self):
        """Whether it was set since power-on."""
        return self.now_ms() >= _YEAR_2020_MS

    def set_ms(self, ms):
        """Set it, to milliseconds since 1970, UTC."""
        self._offset_ms = ms - _host_ms()


class Store:
    """A file for each value; a power cut leaves the old or the new one."""

    def __init__(self, directory):
        self._directory = directory

    def get(self, key):
        """The value as text, or None."""
        try:
            with open(self._path(key)) as file:
                return file.read()
        except (OSError, ValueError):  # none, or not UTF-8
            return None

    def put(self, key, text):
        """Keep a text."""
        check_stored(key, text)
        path = self._path(key)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def delete(self, key):
        """Forget a text, if there is one."""
        try:
            os.remove(self._path(key))
        except OSError:
            pass

    def _path(self, key):
        return self._directory + "/store_" + key


class Watchdog:
    """The host's: it resets a board that has fed it once and then stops."""

    def __init__(self, reset_line):
        self._line = reset_line

    def feed(self):
        """Restart its countdown."""
        self._line.write(b"f")


def _stream_pair(path):
    """A pseudo-terminal as (reader, writer)."""
    stream = asyncio.StreamReader(open(path, "r+b"))
    return stream, stream


def _host_ms():
    return time.time_ns() // 1000000
