"""Runs in MicroPython before its prompt: makes a board of the unix port.

littlefs on a flash that outlives the process, `main.py` run from it, `machine.reset()`.
Arguments: the file that is the flash, its number of blocks, the code with which a reset
ends the process, and `main` if main.py is run.
"""

import os
import sys

from board_flash import mount  # type: ignore[import-not-found]  # beside this file

# While the host's files can be opened.
_watchdog = open(sys.argv[1] + ".watchdog", "w")  # noqa: SIM115, PTH123  # for ever


class Machine:
    """What the unix port's `machine` has not."""

    def WDT(self, timeout: int) -> "Machine":  # noqa: N802  # as a board has it
        """Arm the watchdog: the host ends the process after so many milliseconds."""
        self._timeout = timeout
        self.feed()
        return self

    def feed(self) -> None:
        """Restart its countdown."""
        _watchdog.seek(0)
        _watchdog.write("%10d" % self._timeout)  # noqa: UP031  # no f-string format there
        _watchdog.flush()

    def reset(self) -> None:
        sys.exit(int(sys.argv[3]))

    def unique_id(self) -> bytes:
        return bytes.fromhex("a0b1c2d3ab12")


mount(sys.argv[1], int(sys.argv[2]))
sys.modules["machine"] = Machine()  # type: ignore[assignment]
sys.path[:] = ["", ".frozen", "/lib"]  # as on the ESP32
print("booted")  # noqa: T201  # the console
if "main" in sys.argv and "main.py" in os.listdir("/"):  # noqa: PTH208  # no pathlib there
    import main  # type: ignore[import-not-found]  # noqa: F401  # the board's own
