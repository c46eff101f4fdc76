"""Pseudo-terminals between a virtual board and its hardware."""

import heapq
import os
import selectors
import termios
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from egiz_edge_tools.hardware import Hardware

NAMES = ("uart", "onewire", "spi", "reset")

_RESET_ENERGY, _SHORT_REQUEST, _REQUEST = 0x42, 4, 8  # Modbus: bytes
_MATCH_ROM, _SKIP_ROM, _SEARCH_ROM, _READ_SUPPLY = 0x55, 0xCC, 0xF0, 0xB4
_ONEWIRE_BYTES = {_MATCH_ROM: 10, _SKIP_ROM: 2, _SEARCH_ROM: 1}  # of a transaction


class Buses:
    """Pseudo-terminals on which `hardware` answers, from a thread of its own.

    Args:
        hardware: the parts.
        directory: the board's; gets a link to each pseudo-terminal.
        reset: called with the cause, when the board orders a reset or its watchdog
            is not fed.
    """

    def __init__(
        self, hardware: Hardware, directory: Path, reset: Callable[[str], None]
    ) -> None:
        self._hardware = hardware
        self._directory = directory
        self._reset = reset
        self._watchdog_at: float | None = None
        self._late: list[tuple[float, int, bytes]] = []  # due, where, what
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
        self._watchdog_at = None

    def _add(self, name: str, turn: "Callable[[_Line], None]") -> None:
        ours, theirs = os.openpty()
        _set_unblocking(theirs)
        (self._directory / name).symlink_to(os.ttyname(theirs))
        # `theirs` stays open: without it, reading would fail until the device opens it.
        self._files += [ours, theirs]
        self._selector.register(ours, selectors.EVENT_READ, (_Line(ours), turn))

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._timeout_s()):
                if key.data is None:
                    return
                line, turn = key.data
                line.receive()
                turn(line)
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                _, descriptor, data = heapq.heappop(self._late)
                os.write(descriptor, data)
            if self._watchdog_at is not None and now >= self._watchdog_at:
                self._watchdog_at = None
                self._reset("watchdog")

    def _timeout_s(self) -> float | None:
        dues = [due for due, *_ in self._late[:1]]
        if self._watchdog_at is not None:
            dues.append(self._watchdog_at)
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _on_uart(self, line: "_Line") -> None:
        while len(line.received) >= _SHORT_REQUEST:
            is_short = line.received[1] == _RESET_ENERGY
            length = _SHORT_REQUEST if is_short else _REQUEST
            if len(line.received) < length:
                return
            for delay_s, data in self._hardware.on_uart(line.pop(length)):
                due = time.monotonic() + delay_s
                heapq.heappush(self._late, (due, line.descriptor, data))

    def _on_onewire(self, line: "_Line") -> None:
        """Whether a part answers the reset pulse, and then what is read."""
        while line.received:
            length = _ONEWIRE_BYTES.get(line.received[0], 1)
            if len(line.received) < length:
                return
            command = line.pop(length)
            if not self._hardware.is_present():
                line.send(b"\0")
            elif command[0] == _SKIP_ROM:
                self._hardware.convert()
                line.send(b"\1")
            elif command[0] == _SEARCH_ROM:
                roms = self._hardware.roms()
                line.send(bytes([1, len(roms)]) + b"".join(roms))
            elif command[-1] == _READ_SUPPLY:
                line.send(b"\1" + self._hardware.supply(command[1:9]))
            else:
                line.send(b"\1" + self._hardware.scratchpad(command[1:9]))

    def _on_spi(self, line: "_Line") -> None:
        """How many bytes, and the name of the chip, as a line."""
        while (end := line.received.find(b"\n", 1)) >= 0:
            count, *name = line.pop(end + 1)
            line.send(self._hardware.on_spi(bytes(name[:-1]).decode(), count))

    def _on_reset(self, line: "_Line") -> None:
        data = line.pop(len(line.received))
        if b"r" in data:
            self._watchdog_at = None
            self._reset("reboot")
        elif data:
            is_fed = data.endswith(b"f")
            hardware = self._hardware
            wait_s = hardware.watchdog_s if is_fed else hardware.boot_watchdog_s
            self._watchdog_at = time.monotonic() + wait_s


def _set_unblocking(terminal: int) -> None:
    """Raw, and a read gives what is there, as that of a UART does.

    Otherwise the board's read(n) would block all its tasks until n bytes are there.
    """
    tty.setraw(terminal)
    modes = termios.tcgetattr(terminal)
    modes[6][termios.VMIN] = modes[6][termios.VTIME] = 0
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


@dataclass(slots=True)
class _Line:
    descriptor: int
    received: bytearray = field(default_factory=bytearray)

    def receive(self) -> None:
        self.received += os.read(self.descriptor, 256)

    def pop(self, count: int) -> bytes:
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def send(self, data: bytes) -> None:
        os.write(self.descriptor, data)
