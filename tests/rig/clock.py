"""A clock of the machine that a test sets, for one process (libfaketime)."""

from pathlib import Path

from rig.process import require


class FakeClock:
    """The wall clock of what runs with `env`; its monotonic clock is the real one."""

    def __init__(self, file: Path) -> None:
        program = Path(require("faketime", "apt install faketime"))
        found = program.parents[1].glob("lib/*/faketime/libfaketime.so.1")
        self._file = file
        self.set("+0")
        self.env = {
            "LD_PRELOAD": str(next(found)),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, shift: str) -> None:
        """Be ahead of the real time by this, as ``+31d``, or behind, as ``-2h``."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{shift}\n")
        new.replace(self._file)
