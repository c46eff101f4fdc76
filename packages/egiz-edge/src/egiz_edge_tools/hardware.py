"""The hardware of a virtual board: meters, thermometers and inputs, byte for byte.

PZEM-004T v3: a Modbus RTU slave, as in the module's data sheet. DS18B20: function
commands after a reset pulse, and scratchpads with their CRC. MAX31855 and MAX6675: the
words that they send while they are selected. Each can be made to fail.
"""

import math
import random
import time
from dataclasses import dataclass, field
from enum import Enum, auto

from egiz_edge.drivers.ds18b20 import crc8
from egiz_edge.drivers.modbus import GENERAL, framed

_READ_HOLDING, _READ_INPUT, _WRITE, _RESET_ENERGY = 0x03, 0x04, 0x06, 0x42
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_DATA = 1, 2, 3
_ADDRESS = 2  # the holding register
_MAX31855_FAULTS = {"open": 1, "shorted_to_ground": 2, "shorted_to_supply": 4}


class Trouble(Enum):
    """How a part fails."""

    NONE = auto()
    SILENT = auto()
    GARBLED = auto()  # a bit is wrong
    TRUNCATED = auto()  # the end is missing
    SLIPPED = auto()  # a byte in the middle is missing
    NOISY = auto()  # something comes before it
    LATE = auto()  # a meter: after its deadline
    RESTARTED = auto()  # a thermometer: power-on state, and no conversion since

    def spoil(self, data: bytes) -> bytes:
        """What arrives of `data`."""
        match self:
            case Trouble.SILENT:
                return b""
            case Trouble.GARBLED:
                return data[:-1] + bytes([data[-1] ^ 1])
            case Trouble.TRUNCATED:
                return data[: len(data) // 2]
            case Trouble.SLIPPED:
                return data[:5] + data[6:]
            case Trouble.NOISY:
                return b"\xff\x00\x01" + data
        return data


@dataclass(slots=True)
class Meter:
    """What a PZEM-004T measures."""

    volts: float = 230.0
    amperes: float = 0.0
    power_factor: float = 1.0
    hertz: float = 50.0
    watt_hours: int = 0
    trouble: Trouble = Trouble.NONE
    late_s: float = 0.4
    is_write_protected: bool = False  # it acknowledges, and changes nothing

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
    """What a DS18B20 measures, in °C; None is a conversion that fails."""

    celsius: float | None = 85.0
    bits: int = 12
    trouble: Trouble = Trouble.NONE
    conversion_s: float = 0.0  # a real one needs up to 0.75
    is_parasitic: bool = False  # VDD tied to ground: it cannot convert
    raw: int | None = None  # None: never converted since power-on
    converting: tuple[float, int] | None = None  # until when, and to what

    def convert(self) -> None:
        """Begin to measure."""
        self._finish()
        is_failing = self.celsius is None
        raw = 0x07FF if is_failing else round((self.celsius or 0) * 16) & 0xFFFF
        if not self.is_parasitic:
            self.converting = (time.monotonic() + self.conversion_s, raw)

    def _finish(self) -> None:
        if self.converting and time.monotonic() >= self.converting[0]:
            self.raw, self.converting = self.converting[1], None

    def scratchpad(self) -> bytes:
        """Nine bytes: of the last conversion, or of the power-on state."""
        self._finish()
        is_new = self.raw is None or self.trouble is Trouble.RESTARTED
        raw = 0x0550 if is_new else self.raw or 0
        byte6 = 0x0C if is_new else 0x10 - (raw & 0x0F)
        config = (self.bits - 9) << 5 | 0x1F
        body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, config, 0xFF, byte6, 0x10])
        # The line is high where bytes are missing.
        return self.trouble.spoil(body + bytes([crc8(body)])).ljust(9, b"\xff")[:9]


@dataclass(slots=True)
class Thermocouple:
    """A junction behind a MAX31855 or MAX6675, in °C."""

    chip: str = "max31855"
    celsius: float = 25.0
    cold: float = 25.0
    fault: str = ""  # `open`, `shorted_to_ground`, `shorted_to_supply`
    trouble: Trouble = Trouble.NONE

    def word(self) -> bytes:
        """What it sends while it is selected."""
        quarters = round(self.celsius * 4)
        if self.chip == "max6675":
            word = max(quarters, 0) << 3 | (4 if self.fault else 0)
            return self.trouble.spoil(word.to_bytes(2, "big"))
        low = _MAX31855_FAULTS.get(self.fault, 0)
        word = (quarters & 0x3FFF) << 18 | (round(self.cold * 16) & 0xFFF) << 4 | low
        return self.trouble.spoil((word | bool(low) << 16).to_bytes(4, "big"))


@dataclass(slots=True)
class Network:
    """A Wi-Fi network near the board.

    Attributes:
        key: its password; None: it is open.
        rssi: dBm; below -85 only each third try to join succeeds.
        is_hidden: whether a search does not find it.
        joins_s: how long a board needs to join.
        fails: why no board can join, such as "no answer in time".
    """

    key: str | None
    rssi: int = -60
    is_hidden: bool = False
    joins_s: float = 0.0
    fails: str | None = None


@dataclass(slots=True)
class Hardware:
    """All parts of a board; change them while it runs.

    Attributes:
        meters: by Modbus address.
        is_echoing: whether the UART echoes each request.
        thermometers: by ROM id (8 bytes).
        is_shorted: whether the 1-Wire bus is tied to ground.
        thermocouples: by the name of their select line.
        pins: levels by name.
        rssi: dBm.
        has_wifi: whether there is a network at all.
        networks: by their names; None: any name, any key, and none is found.
        name_servers: host:port of each; None: one that answers as this machine does.
        is_clock_set: whether the clock is set at power-on; else it starts in the year
            2000.
        watchdog_s: how long its watchdog waits, once the app feeds it.
        boot_watchdog_s: how long it waits before that, from the selector on.
        portal_ports: of the portal, for HTTP and DNS; None: free ones.
    """

    meters: dict[int, Meter] = field(default_factory=dict)
    is_echoing: bool = False
    thermometers: dict[bytes, Thermometer] = field(default_factory=dict)
    is_shorted: bool = False
    thermocouples: dict[str, Thermocouple] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)
    rssi: int = -60
    has_wifi: bool = True
    networks: dict[str, Network] | None = None
    name_servers: list[str] | None = None
    is_clock_set: bool = True
    watchdog_s: float = 30.0
    boot_watchdog_s: float = 60.0
    portal_ports: tuple[int, int] | None = None

    def on_uart(self, request: bytes) -> list[tuple[float, bytes]]:
        """What comes back to a Modbus frame, and after how many seconds."""
        back = [(0.0, request)] if self.is_echoing else []
        if framed(request[:-2]) != request:
            return back
        replies = {
            address: reply
            for address in list(self.meters)
            if request[0] in (address, GENERAL)
            and (reply := self._reply_of(address, request))
        }
        if len(replies) > 1:  # a low level of any of them wins
            collided = zip(*(reply for _, reply in replies.values()), strict=False)
            return [*back, (0.0, bytes(min(column) for column in collided))]
        return [*back, *replies.values()]

    def _reply_of(self, address: int, request: bytes) -> tuple[float, bytes] | None:
        meter = self.meters[address]
        if meter.trouble is Trouble.SILENT:
            return None
        delay_s = meter.late_s if meter.trouble is Trouble.LATE else 0.0
        body = request[:1] + self._execute(address, request[1], request[2:-2])
        return delay_s, meter.trouble.spoil(framed(body))

    def _execute(self, address: int, function: int, request: bytes) -> bytes:
        """The reply after its address: function and data, or the refusal."""
        meter = self.meters[address]
        if function == _RESET_ENERGY:
            meter.watt_hours *= meter.is_write_protected
            return bytes([function])
        register, value = request[0] << 8 | request[1], request[2] << 8 | request[3]
        if function == _WRITE:
            return self._write(address, register, value) or bytes([function]) + request
        if function == _READ_INPUT:
            registers = meter.registers()
        elif function == _READ_HOLDING:
            registers = [0, 0, address]
        else:
            return bytes([function | 0x80, _ILLEGAL_FUNCTION])
        if register + value > len(registers):
            return bytes([function | 0x80, _ILLEGAL_ADDRESS])
        words = registers[register : register + value]
        data = b"".join(word.to_bytes(2, "big") for word in words)
        return bytes([function, len(data)]) + data

    def _write(self, address: int, register: int, value: int) -> bytes:
        """Give a meter another address; a refusal, or nothing."""
        if register != _ADDRESS:
            return bytes([_WRITE | 0x80, _ILLEGAL_ADDRESS])
        if not 1 <= value < GENERAL:
            return bytes([_WRITE | 0x80, _ILLEGAL_DATA])
        if not self.meters[address].is_write_protected:
            self.meters[value] = self.meters.pop(address)
        return b""

    def is_present(self) -> bool:
        """Whether a part answers a reset pulse on the 1-Wire bus."""
        return self.is_shorted or bool(self.roms())

    def roms(self) -> list[bytes]:
        """The ROM ids that a search of the 1-Wire bus finds."""
        if self.is_shorted:
            return []
        parts = self.thermometers.items()
        return [rom for rom, part in parts if part.trouble is not Trouble.SILENT]

    def convert(self) -> None:
        """Have all thermometers measure."""
        for thermometer in self.thermometers.values():
            thermometer.convert()

    def scratchpad(self, rom: bytes) -> bytes:
        """What is read of one thermometer: all ones where it is not there."""
        if self.is_shorted:
            return bytes(9)
        return (
            self.thermometers[rom].scratchpad() if rom in self.roms() else b"\xff" * 9
        )

    def supply(self, rom: bytes) -> bytes:
        """What a thermometer answers when it is asked for its supply: 0 for none."""
        is_low = rom in self.roms() and self.thermometers[rom].is_parasitic
        return b"\0" if is_low or self.is_shorted else b"\xff"

    def on_spi(self, name: str, count: int) -> bytes:
        """What a selected chip sends; where there is none, the line is low."""
        chip = self.thermocouples.get(name)
        return (chip.word() if chip else b"").ljust(count, b"\0")[:count]


class OvenPlant:
    """An oven around the hardware: heats and coasts about its setpoint.

    Args:
        hardware: what it moves.
        seed: same seed, same course.
    """

    setpoint_c = 110.0  # within what a DS18B20 measures
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
