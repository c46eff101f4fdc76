"""The ESP32-DevKitC (WROOM-32) with stock MicroPython, 1.24 or newer.

| part                     | pins                                          |
|--------------------------|-----------------------------------------------|
| UART2, power meters      | 17 TX, 16 RX                                  |
| 1-Wire, thermometers     | 4, with 4.7 kΩ to 3.3 V                       |
| SPI2, thermocouples      | 18 SCK, 19 MISO; select 21, 22, 32            |
| contacts, to ground      | 25 running, 26 fault, 27 input_3              |
| button, LED              | 0 (BOOT), 2                                   |

Left alone: 6 to 11 are the flash; 5, 12 and 15 decide how it boots; 1 and 3 are the
console; 34 to 39 have no pull-up. On a WROVER, 16 and 17 belong to its RAM.
"""

import asyncio
import os
import time

import esp32
import machine
import onewire

from egiz_edge.ports import ROMS_MAX, STORE_TEXT_MAX, check_stored
from egiz_edge.ports.esp32_wifi import Wifi

_CONTACTS = {"running": 25, "fault": 26, "input_3": 27, "button": 0}
_SELECTS = {"tc_0": 21, "tc_1": 22, "tc_2": 32}
_LED = 2

_SKIP_ROM, _CONVERT, _READ_SCRATCHPAD, _READ_SUPPLY = 0xCC, 0x44, 0xBE, 0xB4
_WATCHDOG_MS = 30000  # TLS and an erase of flash block all tasks for some seconds
_EPOCH_MS = 946684800000 if time.gmtime(0)[0] == 2000 else 0
_YEAR_2020_MS = 1577836800000
_REBOOT = b"egiz: reboot"  # in RTC memory, which outlives all but power-off


class Board:
    """The board this runs on. There is one; make it once."""

    def __init__(self):
        stream = asyncio.StreamReader(
            machine.UART(2, 9600, tx=17, rx=16, timeout=0, rxbuf=256)
        )
        self.uart = (stream, stream)
        self.onewire = OneWire(machine.Pin(4))
        self.spi = Spi()
        self.pins = {name: _contact(number) for name, number in _CONTACTS.items()}
        self.clock = Clock()
        self.wifi = Wifi()
        self.store = Store()
        self.watchdog = Watchdog()
        self.data_directory = "/data"
        self._led = machine.Pin(_LED, machine.Pin.OUT, value=0)
        self._reset_cause = reset_cause()
        try:
            os.mkdir(self.data_directory)
        except OSError:
            pass  # there since the first boot

    def chip_id(self):
        """The factory address of the chip (base MAC, eFuse block 0)."""
        return machine.unique_id().hex()

    def reset_cause(self):
        """Why this boot, as `egiz_edge.ports` lists it."""
        return self._reset_cause

    def reboot(self):
        """Reset the board."""
        machine.RTC().memory(_REBOOT)
        machine.reset()

    def access_point(self):
        """The board's own network."""
        from egiz_edge.ports.esp32_ap import AccessPoint  # noqa: PLC0415  # see there

        return AccessPoint()

    def identify(self, on):
        """Light the LED, or not."""
        self._led.value(1 if on else 0)


class OneWire:
    """The bus. A transaction takes some 10 ms, in which nothing else runs."""

    def __init__(self, pin):
        self._bus = onewire.OneWire(pin)

    async def convert(self):
        """Have all thermometers measure; they take 750 ms."""
        if self._bus.reset():
            self._bus.writebyte(_SKIP_ROM)
            self._bus.writebyte(_CONVERT)

    async def read_scratchpad(self, rom):
        """The nine bytes of one thermometer; none if the bus is empty."""
        if not self._bus.reset():
            return b""
        self._bus.select_rom(rom)
        self._bus.writebyte(_READ_SCRATCHPAD)
        scratchpad = bytearray(9)
        self._bus.readinto(scratchpad)
        return bytes(scratchpad)

    async def is_parasitic(self, rom):
        """Whether a thermometer has no supply: it answers with a 0."""
        if not self._bus.reset():
            return False
        self._bus.select_rom(rom)
        self._bus.writebyte(_READ_SUPPLY)
        return not self._bus.readbit()

    async def search(self):
        """The ROM ids of all that are there."""
        # On a line that is tied to ground, the stock search finds 255 that are not.
        if not self._bus.reset() or not self._bus.pin.value():
            return []
        return [bytes(rom) for rom in self._bus.scan()[:ROMS_MAX]]


class Spi:
    """The bus, at 1 MHz: the chips allow 4 and 5, the wires less."""

    def __init__(self):
        self._bus = machine.SPI(
            2,
            baudrate=1000000,
            polarity=0,
            phase=0,
            sck=machine.Pin(18),
            mosi=machine.Pin(23),  # not connected, but the driver needs one
            miso=machine.Pin(19),
        )
        self._selects = {
            name: machine.Pin(number, machine.Pin.OUT, value=1)
            for name, number in _SELECTS.items()
        }

    async def read(self, cs_name, n):
        """`n` bytes of a chip; SPI cannot detect that none is there."""
        select = self._selects[cs_name]
        select.value(0)
        data = self._bus.read(n)
        select.value(1)
        return data


class Clock:
    """The RTC. It runs on over all resets but a power cut; its epoch is 2000."""

    def now_ms(self):
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1000000 + _EPOCH_MS

    def is_synced(self):
        """Whether it was set since power-on."""
        return self.now_ms() >= _YEAR_2020_MS

    def set_ms(self, ms):
        """Set it, to milliseconds since 1970, UTC."""
        seconds, ms = divmod(ms - _EPOCH_MS, 1000)
        year, month, day, hour, minute, second, weekday, _ = time.gmtime(seconds)
        now = (year, month, day, weekday, hour, minute, second, ms * 1000)
        machine.RTC().datetime(now)


class Store:
    """NVS: not in the file system, which may break, and wears far less."""

    def __init__(self):
        self._nvs = esp32.NVS("egiz")

    def get(self, key):
        """The value as text, or None."""
        text = bytearray(STORE_TEXT_MAX)
        try:
            return str(text[: self._nvs.get_blob(key, text)], "utf-8")
        except (OSError, ValueError):  # none, or not UTF-8
            return None

    def put(self, key, text):
        """Keep a text; one that is there already costs no flash."""
        check_stored(key, text)
        if self.get(key) != text:
            self._nvs.set_blob(key, text.encode())
            self._nvs.commit()

    def delete(self, key):
        """Forget a text, if there is one."""
        try:
            self._nvs.erase_key(key)
        except OSError:
            return
        self._nvs.commit()


class Watchdog:
    """The task watchdog: it resets the board if it is not fed."""

    def __init__(self):
        self._wdt = None

    def feed(self):
        """Restart its countdown."""
        if self._wdt is None:
            self._wdt = machine.WDT(timeout=_WATCHDOG_MS)
        self._wdt.feed()


def _contact(number):
    """An input that a closed contact pulls to ground."""
    return machine.Signal(
        machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_UP), invert=True
    )


def reset_cause():
    """MicroPython gives one code for a reset by us and one by a panic."""
    rtc = machine.RTC()
    was_ordered = rtc.memory() == _REBOOT
    rtc.memory(b"")
    cause = machine.reset_cause()
    if cause == machine.HARD_RESET:
        return "reboot" if was_ordered else "crash"
    return {
        machine.PWRON_RESET: "power_on",
        machine.WDT_RESET: "watchdog",
        machine.SOFT_RESET: "soft_reset",
    }.get(cause, "unknown")
