"""Pseudo-terminals between a virtual board and its hardware."""

import os
import selectors
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from egiz_edge_tools.hardware import Hardware

NAMES = ("uart", "onewire", "spi", "reset")

_MODBUS_REQUEST_BYTES = 8
_ROM_BYTES = 8
# Of a 1-Wire transaction, by its first byte: match, skip, search.
_ONEWIRE_BYTES = {0x55: 2 + _ROM_BYTES, 0xCC: 2, 0xF0: 1}


class Buses:
    """Where `hardware` answers, from a thread of its own.

    Args:
        hardware: the parts.
        directory: the board's; gets a link to each pseudo-terminal.
        reset: called with the cause, when the board asks for a reset or its watchdog
            is not fed.
    """

    def __init__(
        self, hardware: Hardware, directory: Path, reset: Callable[[str], None]
    ) -> None:
        self._hardware = hardware
        self._directory = directory
        self._reset = reset
        self._starves_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._files: list[int] = []
        self._add("uart", self._on_uart)
        self._add("onewire", self._on_onewire)
        self._add("spi", self._on_spi)
        self._add("reset", self._on_reset)
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

    def disarm(self) -> None:
        """The board was reset: its watchdog waits to be armed again."""
        self._starves_at = None

    def _add(self, name: str, turn: "Callable[[_Line], None]") -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        (self._directory / name).symlink_to(os.ttyname(theirs))
        # `theirs` stays open: without it, reading would fail until the device opens it.
        self._files += [ours, theirs]
        self._selector.register(ours, selectors.EVENT_READ, (_Line(ours), turn))

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.data is None:
                    return
                line, turn = key.data
                line.receive()
                turn(line)
            if self._starves_at is not None and time.monotonic() >= self._starves_at:
                self._starves_at = None
                self._reset("watchdog")

    def _patience_s(self) -> float | None:
        if self._starves_at is None:
            return None
        return max(0.0, self._starves_at - time.monotonic())

    def _on_uart(self, line: "_Line") -> None:
        while len(line.received) >= _MODBUS_REQUEST_BYTES:
            line.send(self._hardware.on_uart(line.take(_MODBUS_REQUEST_BYTES)))

    def _on_onewire(self, line: "_Line") -> None:
        while line.received:
            length = _ONEWIRE_BYTES.get(line.received[0], 1)
            if len(line.received) < length:
                return
            line.send(self._hardware.on_onewire(line.take(length)))

    def _on_spi(self, line: "_Line") -> None:
        """How many bytes, and the name of the chip, as a line."""
        while (end := line.received.find(b"\n", 1)) >= 0:
            count, *name = line.take(end + 1)
            line.send(self._hardware.on_spi(bytes(name[:-1]).decode(), count))

    def _on_reset(self, line: "_Line") -> None:
        told = line.take(len(line.received))
        if b"r" in told:
            self._starves_at = None
            self._reset("reboot")
        elif told:
            self._starves_at = time.monotonic() + self._hardware.watchdog_s


@dataclass(slots=True)
class _Line:
    descriptor: int
    received: bytearray = field(default_factory=bytearray)

    def receive(self) -> None:
        self.received += os.read(self.descriptor, 256)

    def take(self, count: int) -> bytes:
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    def send(self, data: bytes) -> None:
        os.write(self.descriptor, data)
