"""The hardware of a virtual board: meters, thermometers and inputs, byte for byte.

PZEM-004T v3: Modbus RTU, function 0x04, registers as in the module's data sheet.
DS18B20: function commands after a reset pulse, and scratchpads with their CRC.
"""

import math
import os
import random
import selectors
import threading
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from egiz_edge.drivers.ds18b20 import crc8
from egiz_edge.drivers.pzem import crc16

_REQUEST_BYTES = 8
_READ_INPUT, _ILLEGAL_FUNCTION = 0x04, 1
_MATCH_ROM, _SKIP_ROM, _CONVERT, _READ_SCRATCHPAD = 0x55, 0xCC, 0x44, 0xBE
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
        pins: levels by name.
        rssi: dBm.
    """

    meters: dict[int, Meter] = field(default_factory=dict)
    thermometers: dict[bytes, Thermometer] = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)
    rssi: int = -60

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
        chosen = self.thermometers.get(command[1 : 1 + _ROM_BYTES])
        return b"" if chosen is None or chosen.is_silent else chosen.scratchpad()


class Buses:
    """Two pseudo-terminals on which `hardware` answers, from a thread of its own."""

    def __init__(self, hardware: Hardware, directory: Path) -> None:
        self._hardware = hardware
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._files: list[int] = []
        self._add("uart", _next_request, hardware.on_uart)
        self._add("onewire", _next_command, hardware.on_onewire)
        self._stop_reading, self._stop_writing = os.pipe()
        self._selector.register(self._stop_reading, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the pseudo-terminals."""
        os.write(self._stop_writing, b"\0")
        self._thread.join()
        self._selector.close()
        for descriptor in (*self._files, self._stop_reading, self._stop_writing):
            os.close(descriptor)

    def _add(
        self,
        name: str,
        cut: Callable[[bytearray], bytes | None],
        answer: Callable[[bytes], bytes],
    ) -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        (self._directory / name).symlink_to(os.ttyname(theirs))
        # `theirs` stays open: without it, reading would fail until the device opens it.
        self._files += [ours, theirs]
        line = _Line(ours, bytearray(), cut, answer)
        self._selector.register(ours, selectors.EVENT_READ, line)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data.turn()


@dataclass(slots=True)
class _Line:
    descriptor: int
    received: bytearray
    cut: Callable[[bytearray], bytes | None]
    answer: Callable[[bytes], bytes]

    def turn(self) -> None:
        self.received += os.read(self.descriptor, 256)
        while (frame := self.cut(self.received)) is not None:
            os.write(self.descriptor, self.answer(frame))


def _next_request(received: bytearray) -> bytes | None:
    """Cut a Modbus request off; all that the firmware sends have eight bytes."""
    if len(received) < _REQUEST_BYTES:
        return None
    frame = bytes(received[:_REQUEST_BYTES])
    del received[:_REQUEST_BYTES]
    return frame


def _next_command(received: bytearray) -> bytes | None:
    """Cut a 1-Wire transaction off."""
    if not received:
        return None
    length = 2 if received[0] == _SKIP_ROM else 2 + _ROM_BYTES
    if len(received) < length:
        return None
    command = bytes(received[:length])
    del received[:length]
    return command


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
