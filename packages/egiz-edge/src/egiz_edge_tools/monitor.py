"""`egiz-edge monitor`: what a board prints, without a byte sent to it."""

import os
import time
from collections.abc import Callable

from egiz_edge_tools.errors import PortError
from egiz_edge_tools.remote import Remote, lines_of, start, understand

_QUIET_S = 15.0
_LEAVE = b"\x1d"  # Ctrl-], at mpremote's own console
_GREETING_LINES = 2


def monitor(port: str, tell: Callable[[str], None]) -> None:
    """Tell every line that the board prints, with the time, until KeyboardInterrupt.

    The firmware is not disturbed: mpremote's console is given a keyboard on which
    nobody types.

    Raises:
        PortError: if there is no board, or it goes away.
    """
    Remote(port)  # whether we may use it
    keyboard, console = os.openpty()
    process = start(port, ("resume", "repl"), console)
    os.close(console)
    said = [""]
    try:
        for number, line in enumerate(lines_of(process, _QUIET_S)):
            if line is None:
                tell(f"(nothing for {_QUIET_S:.0f} s)")
                continue
            said = [line]
            if number >= _GREETING_LINES:
                tell(f"{time.strftime('%H:%M:%S')}  {line}")
        raise PortError(port, *understand(port, said))
    finally:
        os.write(keyboard, _LEAVE)
        process.terminate()
        process.wait()
        os.close(keyboard)
