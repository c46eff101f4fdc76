"""A board at a serial port: MicroPython's unix port behind a pseudo-terminal.

The host's tools open `port`. Between it and the interpreter is a cable that a test can
cut at a byte of its choice. The flash is littlefs; it outlives resets and cuts.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rig.process import own_program, require
from rig.waiting import eventually

_BLOCK = 4096
_RESET = 7  # the exit code of a hard reset
_WATCHDOG = -signal.SIGKILL
_BOOT = Path(__file__).parent / "board_boot.py"
_FLASH = Path(__file__).parent / "board_flash.py"
# A session without a terminal gets the first that it opens; Ctrl-C needs one.
_ON_TERMINAL = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>&1'


class SerialBoard:
    """A board that is on, and plugged in.

    Args:
        directory: for its flash.
        blocks: of 4 KB, the size of its flash.
        files: that are on it: path -> content.
        runs_main: whether a main.py on it is run at boot.
    """

    def __init__(
        self,
        directory: Path,
        blocks: int = 256,
        files: Mapping[str, bytes] = MappingProxyType({}),
        *,
        runs_main: bool = True,
    ) -> None:
        self._micropython = require(
            own_program("micropython"), "pip install 'egiz-edge[virtual]'"
        )
        directory.mkdir()
        self._flash = directory / "flash"
        self._flash.write_bytes(b"\xff" * _BLOCK * blocks)
        self._blocks = blocks
        self._access("".join(f"{p} {data.hex()}\n" for p, data in files.items()))
        self._runs_main = runs_main
        self.boots = 0
        self._is_off = False
        self._lock = threading.Lock()
        self._make_port()
        self._switch_on()

    def _make_port(self) -> None:
        self._console = b""
        self._left_to_board: int | None = None
        self._to_lose = 0
        self._inner, self._terminal = _open_terminal()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._inner, selectors.EVENT_READ)
        self._outer: int | None = None
        self.plug_in()

    def _switch_on(self) -> None:
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._pump, self._run)
        ]
        for thread in self._threads:
            thread.start()
        eventually(lambda: b"booted" in self._console)

    @property
    def console(self) -> str:
        """What it has printed since it was made."""
        return self._console.decode(errors="replace")

    def files(self) -> dict[str, bytes]:
        """What is on its flash: path -> content. Not while it writes."""
        lines = (line.partition(" ") for line in self._access("").splitlines())
        return {path: bytes.fromhex(content) for path, _, content in lines}

    def plug_in(self) -> None:
        """Connect a cable; the port may have another name than before."""
        master, slave = _open_terminal()
        os.set_blocking(master, False)
        self.port = os.ttyname(slave)
        with self._lock:
            self._outer, self._outer_end = master, slave
            self._left_to_board = None
            self._selector.register(master, selectors.EVENT_READ)

    def cut_after(self, count: int) -> None:
        """Cut the cable when so many more bytes have gone to the board."""
        self._left_to_board = count

    def lose(self, count: int) -> None:
        """Lose the next bytes to the board, as its UART does while it starts."""
        self._to_lose = count

    def unplug(self) -> None:
        """Remove the cable."""
        with self._lock:
            self._unplug()

    def is_plugged_in(self) -> bool:
        """Whether there is a cable."""
        return self._outer is not None

    def switch_off(self) -> None:
        """For ever; its files can still be read."""
        if self._is_off:
            return
        with self._lock:
            self._is_off = True
            self._process.kill()
        for thread in self._threads:
            thread.join()
        with self._lock:
            self._unplug()
        os.close(self._inner)
        os.close(self._terminal)

    def _access(self, files: str) -> str:
        done = subprocess.run(
            [self._micropython, str(_FLASH), str(self._flash), str(self._blocks)],
            input=files,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _run(self) -> None:
        """Run MicroPython, and again after each reset."""
        code = _RESET
        while True:
            with self._lock:
                if self._is_off:
                    return
                self._process = self._boot(is_soft=code == 0)
            self.boots += code in {_RESET, _WATCHDOG}
            code = self._process.wait()

    def _boot(self, *, is_soft: bool) -> "subprocess.Popen[bytes]":
        """Start MicroPython; a soft reset, by Ctrl-D, keeps the raw prompt."""
        if is_soft:
            self._to_host(b"MPY: soft reboot\r\n")
            os.write(self._inner, b"\x01")
        terminal = os.ttyname(self._terminal)
        interpreter = (self._micropython, "-X", "heapsize=68k", "-i", str(_BOOT))
        flash = (str(self._flash), str(self._blocks), str(_RESET))
        mode = ("main",) if self._runs_main and not is_soft else ()
        return subprocess.Popen(
            ["sh", "-c", _ON_TERMINAL, "sh", terminal, *interpreter, *flash, *mode],
            start_new_session=True,
        )

    def _pump(self) -> None:
        while not self._is_off:
            for key, _ in self._selector.select(0.1):
                with self._lock:
                    if key.fd == self._inner:
                        self._to_host(os.read(self._inner, 4096))
                    elif key.fd == self._outer:
                        self._to_board()
            self._watch()

    def _watch(self) -> None:
        """End a program that has not fed its watchdog in time."""
        file = self._flash.with_suffix(".watchdog")
        text = file.read_text() if file.exists() else ""
        if text and time.time() - file.stat().st_mtime > int(text) / 1000:
            with self._lock:
                self._process.kill()

    def _to_host(self, data: bytes) -> None:
        self._console += data
        if self._outer is not None:
            with contextlib.suppress(BlockingIOError):  # no program reads
                os.write(self._outer, data)

    def _to_board(self) -> None:
        assert self._outer is not None
        data = os.read(self._outer, 4096)
        lost = min(self._to_lose, len(data))
        self._to_lose -= lost
        data = data[lost:]
        if self._left_to_board is not None:
            data = data[: self._left_to_board]
            self._left_to_board -= len(data)
        os.write(self._inner, data)
        if self._left_to_board == 0:
            self._unplug()

    def _unplug(self) -> None:
        if self._outer is not None:
            self._selector.unregister(self._outer)
            os.close(self._outer)
            os.close(self._outer_end)
            self._outer = None


def _open_terminal() -> tuple[int, int]:
    """Both ends of one that passes bytes as they are, but for Ctrl-C."""
    master, slave = os.openpty()
    tty.setraw(slave)
    modes = termios.tcgetattr(slave)
    modes[3] |= termios.ISIG
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    return master, slave
