"""`egiz-edge monitor`: what a board prints; nothing is sent to it."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from egiz_cli import child_process

from egiz_edge_tools.errors import PortError
from egiz_edge_tools.remote import Remote, explain, lines_of, start

if TYPE_CHECKING:
    import subprocess

_QUIET_S = 15.0
_LEAVE = b"\x1d"  # Ctrl-], at mpremote's own console
_GREETING_LINES = 2


def monitor(port: str, show: Callable[[str], None]) -> None:
    """Show every line that the board prints, with the time, until KeyboardInterrupt.

    The firmware is not disturbed: mpremote's console gets a keyboard that sends
    nothing.

    Raises:
        PortError: if there is no board, or it goes away.
    """
    Remote(port)  # raises if the port cannot be used
    keyboard, console = os.openpty()

    def begin() -> "subprocess.Popen[str]":
        process = start(port, ("resume", "repl"), console)
        os.close(console)
        return process

    def end(process: "subprocess.Popen[str]") -> None:
        os.write(keyboard, _LEAVE)
        process.terminate()
        process.wait()
        os.close(keyboard)

    output = [""]
    with child_process(begin, end) as process:
        for number, line in enumerate(lines_of(process, _QUIET_S)):
            if line is None:
                show(f"(nothing for {_QUIET_S:.0f} s)")
                continue
            output = [line]
            if number >= _GREETING_LINES:
                show(f"{time.strftime('%H:%M:%S')}  {line}")
        raise PortError(port, *explain(port, output))
