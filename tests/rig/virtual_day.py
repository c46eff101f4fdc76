"""A device in virtual time, whose world a test changes at each pause."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from egiz_edge_tools.hardware import Hardware
from egiz_edge_tools.virtual_board import Identity, VirtualBoard

from rig.waiting import eventually

_ANSWER_MS = 5000
_HEAP = "168k"  # 144 KB, and what the program itself is


@dataclass(frozen=True, slots=True)
class Counts:
    """What a device has counted in this boot, up to a pause."""

    second: int
    samples: int
    made: int  # telemetry messages
    dropped: int
    waiting: int
    telemetry: int  # acknowledged
    status: int
    longest_ms: int  # between two samples
    heap: int


@dataclass(slots=True)
class Boot:
    """From power-on to a power cut, or to the end."""

    began_s: int
    counts: Counts
    output: list[str] = field(default_factory=list)


class VirtualDay:
    """A device that runs from pause to pause.

    Args:
        identity: of the device.
        hardware: its parts.
        flash: its directory.
        program: clock.py and day.py.
    """

    def __init__(
        self, identity: Identity, hardware: Hardware, flash: Path, program: str
    ) -> None:
        self._identity, self._hardware = identity, hardware
        self._flash, self._program = flash, program
        self.began_ms = time.time_ns() // 1_000_000
        self.now_s = 0
        self.boots: list[Boot] = []
        flash.mkdir()
        self.now_file = flash / "now"
        hardware.watchdog_s = 1e6  # the program has one of virtual time
        self._board: VirtualBoard | None = None

    def switch_on(self, off_s: int = 0) -> None:
        """After `off_s` seconds without power."""
        self.now_s += off_s
        (self._flash / "began").write_text(f"{self.began_ms} {self.now_s}")
        self._order(self.now_s, _ANSWER_MS)
        nothing = Counts(self.now_s, *(0 for _ in range(8)))
        self.boots.append(Boot(self.now_s, nothing))
        self._board = VirtualBoard(
            self._identity, self._hardware, self._flash, _HEAP, self._program
        )
        self._reader = threading.Thread(target=self._read, args=(self._board,))
        self._reader.start()

    def run(self, seconds: int, answer_ms: int = _ANSWER_MS) -> Counts:
        """Let so much time pass."""
        until_s = self.now_s + seconds
        boot = self.boots[-1]
        eventually(lambda: boot.counts.heap, 60)  # it waits for the order
        self._order(until_s, answer_ms)
        eventually(lambda: self._is_at(boot, until_s), 600)
        self.now_s = until_s
        return boot.counts

    def order_to(self, until_s: int) -> None:
        """Let it run so far, also over resets; without a look at where it is."""
        self._order(until_s, _ANSWER_MS)

    def join_ap(self, key: str) -> None:
        """A phone joins its network."""
        assert self._board is not None
        self._board.join_ap(key)

    def change_world(self) -> None:
        """After a change of the hardware's network or pins."""
        assert self._board is not None
        self._board.put_world()

    def cut_power(self, off_s: int) -> None:
        """Now, and for so many seconds."""
        assert self._board is not None
        self._board.cut_power()
        self._end()
        self.switch_on(off_s)

    def stop(self) -> Boot:
        """Have it publish what waits."""
        assert self._board is not None
        self._board.stop()
        self._order(self.now_s + 3600, _ANSWER_MS)
        self._end()
        return self.boots[-1]

    def kill(self) -> None:
        """After a test that failed."""
        if self._board is not None:
            self._board.cut_power()
            self._close()

    def _end(self) -> None:
        resets = self._close()
        assert resets == ["power_on"], (resets, self.boots[-1].output)

    def _close(self) -> list[str]:
        board, self._board = self._board, None
        assert board is not None
        self._reader.join(60)
        board.close()
        return board.boots

    def _is_at(self, boot: Boot, until_s: int) -> bool:
        assert self._reader.is_alive(), boot.output
        return boot.counts.second >= until_s and boot.counts.heap > 0

    def _read(self, board: VirtualBoard) -> None:
        boot = self.boots[-1]
        for line in board.lines():
            if line.startswith("at "):
                boot.counts = Counts(*map(int, line.split()[1:]))
            else:
                boot.output.append(line)

    def _order(self, until_s: int, answer_ms: int) -> None:
        new = self._flash / "order.new"
        new.write_text(f"{until_s} {answer_ms}")
        new.replace(self._flash / "order")
