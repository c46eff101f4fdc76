"""A board at a serial port, over mpremote: its output, and what that means.

mpremote is run as a program, since its Python interface is declared to be unstable.
It waits for ever for a board that stops in the middle of an answer; here every wait
ends.
"""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec
from egiz_cli import child_process
from serial.tools import list_ports

from egiz_edge_tools.errors import PortError

ON_BOARD = Path(__file__).parent / "on_board.py"
ANSWER_S = (
    20.0  # longer than mpremote's own waits, and than copying a file of the bundle
)

MAKE_ROOM = (
    "See what is on it: mpremote connect {port} fs tree -s; remove what is not needed."
)
BUSY = (
    "another program has it open",
    "Close it (a serial monitor?). `fuser {port}` shows which one it is.",
)
_IS_IT_THE_BOARD = (
    "Is it the board's port? Press its EN button and try again.\n"
    "  If it stays silent, flash it: https://micropython.org/download/ESP32_GENERIC"
)
_NO_PROMPT = "no MicroPython answers"
# Pattern in the output of mpremote, the cause, the fix. {port} is the port's name.
_MEANINGS = (
    (r"failed to access", *BUSY),
    (
        r"could not enter raw repl|unpack requires a buffer|could not exec command",
        _NO_PROMPT,
        _IS_IT_THE_BOARD,
    ),
    (
        r"No space left|ENOSPC|OSError: 28",
        "the board's flash is full",
        MAKE_ROOM,
    ),
    (
        r"MemoryError",
        "the board has not enough memory left beside its firmware",
        "Press its EN button and give the same command again.",
    ),
    (
        r"Input/output error|disconnected|SerialException|Errno (5|6|19)\b|no data",
        "the connection was lost",
        "Check the cable and give the same command again.",
    ),
)
_SILENCE = (
    "the board does not answer",
    "Check the cable, press the board's EN button and give the same command again.",
)


class BoardState(msgspec.Struct, frozen=True):
    """What a board is and holds.

    Attributes:
        machine: as the board calls itself.
        version: of MicroPython.
        mpy: `sys.implementation._mpy`.
        target: `sys.platform`.
        runs: the slot that runs, as a path; empty if none is whole.
        block: bytes that the file system allocates at a time.
        free: bytes.
        hashes: path on the board -> SHA-256, of the firmware's files.
    """

    machine: str
    version: str
    mpy: int
    target: str
    runs: str
    block: int
    free: int
    hashes: dict[str, str] = {}


class Remote:
    """The board at `port`.

    Args:
        port: as the user gave it.
        show: called with a line of progress.

    Raises:
        PortError: if there is no such port, or no permission to use it.
    """

    def __init__(self, port: str, show: Callable[[str], None] = lambda _: None) -> None:
        self.port = port
        self._show = show
        check_device(port)

    def look(self) -> BoardState:
        """Stop the firmware, and see what the board is and holds."""
        lines = self.wake(("run", str(ON_BOARD)), ("exec", "look()"))
        try:
            state = msgspec.json.decode(lines[0], type=BoardState)
            hashes = dict(line.split(" ") for line in lines[1:])
        except (IndexError, ValueError):
            raise PortError(self.port, *explain(self.port, lines)) from None
        return msgspec.structs.replace(state, hashes=hashes)

    def restart(self) -> None:
        """Reset the board: the firmware starts as after power-on."""
        self.run(("resume",), ("reset",))

    def wake(self, *commands: Sequence[str]) -> list[str]:
        """Run the first commands for a board, which may just be starting.

        Until its UART is read it loses what it is sent, so it is asked once more.
        """
        try:
            return self.run(*commands)
        except PortError as error:
            if error.cause not in {_SILENCE[0], _NO_PROMPT}:
                raise
            self._show(f"{self.port}: {error.cause}; once more, it may be starting")
            return self.run(*commands)

    def run(
        self,
        *commands: Sequence[str],
        on_line: Callable[[str], None] = lambda _: None,
    ) -> list[str]:
        """Run some commands of mpremote in one session; gives its output.

        Raises:
            PortError: if it fails, or prints nothing for ANSWER_S seconds.
        """
        chain = [word for command in commands for word in (*command, "+")][:-1]
        output = []
        with child_process(
            lambda: start(self.port, chain, subprocess.DEVNULL)
        ) as process:
            for line in lines_of(process, ANSWER_S):
                if line is None:
                    raise PortError(self.port, *_SILENCE)
                output.append(line)
                on_line(line)
            if process.wait():
                raise PortError(self.port, *explain(self.port, output))
        return output


def start(port: str, chain: Sequence[str], stdin: int) -> "subprocess.Popen[str]":
    """An mpremote. Its first command makes a soft reset, unless that is `resume`.

    With it, the firmware that ran is gone from the heap, and main.py does not run.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "mpremote", "connect", port, *chain],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Ctrl-C is for this program, which then ends mpremote.
        start_new_session=True,
    )


def lines_of(
    process: "subprocess.Popen[str]", timeout_s: float
) -> Iterator[str | None]:
    """What a program prints until it ends; None for each `timeout_s` of silence."""
    assert process.stdout is not None
    arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    feeder = threading.Thread(target=_feed, args=(process.stdout, arrived), daemon=True)
    feeder.start()
    while feeder.is_alive() or not arrived.empty():
        try:
            line = arrived.get(timeout=timeout_s)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


def serial_ports() -> list[str]:
    """Ports of this machine that may have a board, each with what is at it."""
    return [
        f"{port.device} ({port.description})"
        for port in sorted(list_ports.comports())
        if port.vid is not None
    ]


def _feed(stream: IO[str], arrived: "queue.SimpleQueue[str | None]") -> None:
    with stream:
        for line in stream:
            arrived.put(line.rstrip("\r\n"))
    arrived.put(None)


def check_device(port: str) -> None:
    """Raise PortError for a port that does not exist or may not be used."""
    if not port.startswith("/") and not Path(port).exists():
        return  # COM3, or a URL of pyserial
    if not Path(port).exists():
        there = ", ".join(serial_ports())
        raise PortError(
            port,
            "there is no such port",
            f"There are: {there}"
            if there
            else "No board is connected: check the cable; many carry power only.",
        )
    if not Path(port).is_char_device():
        raise PortError(
            port,
            "it is no serial port, but a file or a directory",
            "`egiz-edge doctor` lists the serial ports.",
        )
    if not os.access(port, os.R_OK | os.W_OK):
        raise PortError(
            port,
            "you may not use it",
            "sudo usermod -aG dialout $USER, then log out and in again.",
        )


def explain(port: str, output: Sequence[str]) -> tuple[str, str]:
    """The cause and the fix of a failure, by the output of mpremote."""
    text = "\n".join(output)
    for pattern, cause, fix in _MEANINGS:
        if re.search(pattern, text):
            return cause, fix.format(port=port)
    last = next((line for line in reversed(output) if line.strip()), "nothing")
    return (
        f"mpremote failed: {last}",
        f"`egiz-edge doctor --port {port}` checks the board.",
    )
