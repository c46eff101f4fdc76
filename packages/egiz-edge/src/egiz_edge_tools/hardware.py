"""The hardware of a virtual board: meters, thermometers and inputs, byte for byte.

PZEM-004T v3: Modbus RTU, function 0x04, registers as in the module's data sheet.
DS18B20: function commands after a reset pulse, and scratchpads with their CRC.
"""

import math
import random
from dataclasses import dataclass, field

from egiz_edge.drivers.ds18b20 import crc8
from egiz_edge.drivers.modbus import crc16

_READ_INPUT, _ILLEGAL_FUNCTION = 0x04, 1
_SKIP_ROM, _SEARCH_ROM = 0xCC, 0xF0
_ROM_BYTES = 8


@dataclass(slots=True)
class Meter:
    """What a PZEM-004T measures; `is_silent` is one without mains."""

    volts: float = 230.0
    amperes: float = 0.0
    power_factor: float = 1.0
    hertz: float = 50.0
    watt_hours: int = 0
    is_silent: bool = False
    is_garbled: bool = False

    def registers(self) -> list[int]:
        """Ten words; 32-bit values have the low word first."""
        milliamperes = round(self.amperes * 1000)
        deciwatts = round(self.volts * self.amperes * self.power_factor * 10)
        words = [round(self.volts * 10)]
        for value in (milliamperes, deciwatts, self.watt_hours):
            words += [value & 0xFFFF, value >> 16]
        return [*words, round(self.hertz * 10), round(self.power_factor * 100), 0]


@dataclass(slots=True)
class Thermometer:
    """What a DS18B20 measures, in °C; `is_garbled` spoils its CRC."""

    celsius: float = 85.0
    is_silent: bool = False
    is_garbled: bool = False
    converted: float | None = None  # None: never since power-on

    def scratchpad(self) -> bytes:
        """Nine bytes: of the last conversion, or of the power-on state."""
        raw = 0x0550 if self.converted is None else round(self.converted * 16) & 0xFFFF
        byte6 = 0x0C if self.converted is None else 0x10 - (raw & 0x0F)
        body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, 0x7F, 0xFF, byte6, 0x10])
        return body + bytes([crc8(body) ^ self.is_garbled])


@dataclass(slots=True)
class Hardware:
    """All parts of a board; change them while it runs.

    Attributes:
        meters: by Modbus address.
        thermometers: by ROM id (8 bytes).
        spi: what each chip answers when it is selected, by name.
        pins: levels by name.
        rssi: dBm.
        has_wifi: whether there is a network at all.
        networks: the key of each network by its name; None: any name, any key.
        is_clock_set: whether the board knows the time when it is powered on; one that
            does not starts in the year 2000.
        watchdog_s: how long its watchdog waits.
    """

    meters: dict[int, Meter] = field(default_factory=dict)
    thermometers: dict[bytes, Thermometer] = field(default_factory=dict)
    spi: dict[str, bytes] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)
    rssi: int = -60
    has_wifi: bool = True
    networks: dict[str, str] | None = None
    is_clock_set: bool = True
    watchdog_s: float = 30.0

    def on_uart(self, request: bytes) -> bytes:
        """What the meters answer to a Modbus frame; nothing to another's."""
        address, function = request[0], request[1]
        meter = self.meters.get(address)
        if meter is None or meter.is_silent or crc16(request[:-2]) != _crc(request):
            return b""
        if function != _READ_INPUT:
            return _framed(bytes([address, function | 0x80, _ILLEGAL_FUNCTION]))
        words = b"".join(word.to_bytes(2, "big") for word in meter.registers())
        reply = _framed(bytes([address, function, len(words)]) + words)
        return reply[:-1] + bytes([reply[-1] ^ meter.is_garbled])

    def on_onewire(self, command: bytes) -> bytes:
        """What the thermometers answer after a reset pulse."""
        if command[0] == _SKIP_ROM:
            for thermometer in self.thermometers.values():
                thermometer.converted = thermometer.celsius
            return b""
        if command[0] == _SEARCH_ROM:
            there = [
                rom for rom, part in self.thermometers.items() if not part.is_silent
            ]
            return bytes([len(there)]) + b"".join(there)
        chosen = self.thermometers.get(command[1 : 1 + _ROM_BYTES])
        return b"" if chosen is None or chosen.is_silent else chosen.scratchpad()

    def on_spi(self, name: str, count: int) -> bytes:
        """What a selected chip answers; where there is none, the line is low."""
        return self.spi.get(name, b"").ljust(count, b"\0")[:count]


def _framed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def _crc(frame: bytes) -> int:
    return int.from_bytes(frame[-2:], "little")


class OvenPlant:
    """An oven around the hardware: heats and coasts about its setpoint.

    Args:
        hardware: what it moves.
        seed: same seed, same course.
    """

    setpoint_c = 190.0
    cycle_s = 40.0

    def __init__(self, hardware: Hardware, seed: int) -> None:
        rng = random.Random(seed)
        self._hardware = hardware
        self._phase = rng.uniform(0, self.cycle_s)
        self._mains = [rng.uniform(218, 232) for _ in range(3)]
        self._offsets = [rng.uniform(-3, 3) for _ in range(3)]
        hardware.meters = {address: Meter(watt_hours=1000) for address in (1, 2, 3)}
        hardware.thermometers = {rom(number): Thermometer() for number in range(3)}
        hardware.pins = {"running": 1, "fault": 0}
        self.move(0.0)

    def move(self, elapsed_s: float) -> None:
        """Put everything where it is `elapsed_s` after the start."""
        angle = 2 * math.pi * (elapsed_s + self._phase) / self.cycle_s
        is_heating = math.cos(angle) > 0
        for meter, volts in zip(
            self._hardware.meters.values(), self._mains, strict=True
        ):
            meter.volts = volts
            meter.amperes = 15.0 if is_heating else 0.4
            meter.power_factor = 0.99 if is_heating else 0.62
            meter.watt_hours = 1000 + int(elapsed_s)
        for thermometer, offset in zip(
            self._hardware.thermometers.values(), self._offsets, strict=True
        ):
            thermometer.celsius = self.setpoint_c + offset + 2 * math.sin(angle)


def rom(number: int) -> bytes:
    """The ROM id (family 0x28, with its CRC) of the n-th thermometer."""
    body = bytes([0x28, number, 0, 0, 0, 0, 0])
    return body + bytes([crc8(body)])
