"""The bundle: the firmware as a cable brings it, which `egiz-edge deploy` copies.

    bundle/
    ├── main.py                   the selector
    └── slot/                     what becomes /a or /b of a board
        ├── release               version, interpreter, size and SHA-256 of each file
        ├── egiz_edge/…           containers of the modules, and the portal's page
        └── egiz_schema/…         says that its modules are there, too

The same sources give the same bytes: nothing in a bundle depends on the machine, the
directory or the time.
"""

import ast
import hashlib
import shutil
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

import msgspec
from egiz_edge.ota.release import Release, check_file
from egiz_edge.ota.signed import Refused

from egiz_edge_tools import __version__
from egiz_edge_tools.compact import (
    compacted,
    literals_of,
    named_in_calls,
    with_literals,
    with_own_literals,
    without_unused,
    without_unused_imports,
)
from egiz_edge_tools.compiling import compile_file, write
from egiz_edge_tools.containers import contain
from egiz_edge_tools.errors import BundleError
from egiz_edge_tools.packing import pack

SELECTOR, SLOT, RELEASE = "main.py", "slot", "release"
# Names of mpy-cross. It matters to native code only; bytecode runs everywhere.
ARCHITECTURES = {
    "xtensawin": "ESP32, ESP32-S2, ESP32-S3",
    "rv32imc": "ESP32-C3, ESP32-C6",
    "host": "this machine: the virtual board",
}

# Each board has one port; the other one cannot be imported there.
_BOARD_PORT, _HOST_PORT = "ports/esp32", "ports/virtual"
# The same files on the device and on the server.
_CONTRACT = ("topics.py", "limits.py", "orders.py")
# Their literals are put where they are used: a board keeps every name that it loads.
_OF_LITERALS = (
    "egiz_schema/limits.py",
    "egiz_schema/topics.py",
    "egiz_edge/boot_loop.py",
    "egiz_edge/drivers/modbus.py",
    "egiz_edge/drivers/pzem.py",
    "egiz_edge/ota/keys.py",
    "egiz_edge/ota/order.py",
    "egiz_edge/ota/signed.py",
    "egiz_edge/outbox.py",
    "egiz_edge/ports/__init__.py",
    "egiz_edge/report.py",
    "egiz_edge/timekeeping.py",
    "egiz_edge/timeouts.py",
)


class BundledFile(msgspec.Struct, frozen=True):
    """A file of a slot: its path there, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: str


class Bundle(msgspec.Struct, frozen=True):
    """What a bundle holds.

    Attributes:
        directory: where it is.
        version: of the firmware, as the device reports it.
        target: sys.platform of the boards that it is for.
        mpy: bytes 1 and 2 of the .mpy files: the bytecode's version, and for native
            code its architecture (else 0). The interpreter must have the same.
        files: of the slot, sorted by path, without its `release`.
    """

    directory: Path
    version: str
    target: str
    mpy: tuple[int, int]
    files: tuple[BundledFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def selector(self) -> Path:
        """The file that becomes main.py."""
        return self.directory / SELECTOR

    @property
    def slot(self) -> Path:
        """The directory that becomes a slot."""
        return self.directory / SLOT

    @property
    def release(self) -> Path:
        """The file that a slot has once it is whole."""
        return self.slot / RELEASE

    def runs_on(self, interpreter: int) -> bool:
        """Whether an interpreter can load it, by its `sys.implementation._mpy`."""
        bytecode, native = self.mpy
        return bytecode == interpreter & 0xFF and native in {0, interpreter >> 8 & 0xFF}


def build(directory: Path, arch: str = "xtensawin") -> Bundle:
    """Write a bundle into `directory`; what was there of an earlier one is replaced.

    Raises:
        BundleError: if a file does not compile, or `directory` holds something else.
    """
    _make_room(directory)
    slot = directory / SLOT
    slot.mkdir()
    stage(slot, arch)
    target = "linux" if arch == "host" else "esp32"
    (slot / RELEASE).write_bytes(pack(slot, __version__, target).head())
    (directory / SELECTOR).write_bytes(selector())
    return load(directory)


def unpack(path: Path, directory: Path) -> None:
    """Make a bundle of a release, in an empty directory.

    Raises:
        Refused: if the file is not a sound release; its signature is not checked.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        release = Release(file, None)
        file.seek(0)
        (directory / SLOT).mkdir()
        (directory / SLOT / RELEASE).write_bytes(file.read(release.start))
        at = release.start
        for name, size, digest in release.entries():
            file.seek(at)
            to = directory / SLOT / name
            to.parent.mkdir(parents=True, exist_ok=True)
            with to.open("wb") as copy:
                check_file(file, name, size, digest, copy.write)
            at += size
        file.seek(at)
        if file.read(1):
            raise Refused("too long")
    (directory / SELECTOR).write_bytes(selector())


def load(directory: Path) -> Bundle:
    """The bundle in a directory, if all files are what its `release` says.

    Raises:
        BundleError: if a file is missing or changed.
    """
    path = directory / SLOT / RELEASE
    try:
        with path.open("rb") as file:
            release = Release(file, None)
            entries = list(release.entries())
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}; make a bundle with `egiz-edge build`"
        ) from None
    except Refused as error:
        raise BundleError(f"{path}: {error}; build it again") from None
    described = [BundledFile(name, size, sha.decode()) for name, size, sha in entries]
    for one in described:
        _check(directory / SLOT / one.path, one)
    if not (directory / SELECTOR).is_file():
        raise BundleError(f"{directory / SELECTOR}: missing; build the bundle again")
    return Bundle(
        directory, release.version, release.target, release.mpy, tuple(described)
    )


def selector() -> bytes:
    """The program that a board starts."""
    return compacted((files("egiz_edge_boot") / SELECTOR).read_text("utf-8")).encode()


def stage(
    directory: Path,
    arch: str = "host",
    replaced: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the firmware into `directory`, ready to be a slot or an import path.

    Args:
        directory: is created where it is not there.
        arch: a key of `ARCHITECTURES`.
        replaced: path -> code in place of a file's: other timeouts, or a part that
            fails.

    Raises:
        BundleError: if a file does not compile.
    """
    stage_modules(directory, arch, replaced)
    contain(directory, arch)


def stage_modules(
    directory: Path,
    arch: str = "host",
    replaced: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """The same, before each module, a file until then, is put into a container."""
    for path, code in _of_device(tuple((_texts(arch) | dict(replaced)).items())):
        compile_file(code, directory, path, arch)
    for data in _data():
        write(directory / "egiz_edge/portal" / data.name, data.read_bytes())
    write(directory / "egiz_schema/__init__.py", b"")


def _texts(arch: str) -> dict[str, str]:
    """Path -> code, of every source file as it is written."""
    found = {f"egiz_edge/{path}": file for path, file in sources(arch)}
    found |= {f"egiz_schema/{name}": files("egiz_schema") / name for name in _CONTRACT}
    return {path: file.read_text(encoding="utf-8") for path, file in found.items()}


@lru_cache(maxsize=16)  # each board of a fleet would do it again; it takes a second
def _of_device(texts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The same files, as short as a device gets them; raises BundleError."""
    codes = {path: _code(text, path) for path, text in texts}
    codes = _with_literals(codes)
    named = {name for code in codes.values() for name in named_in_calls(code)}
    shortened = []
    for path, code in codes.items():
        if not ast.parse(code).body[1:] and path.endswith("/__init__.py"):
            continue  # a package is a directory; a file with nothing costs memory
        used = code
        if path.startswith("egiz_schema/") or path in _OF_LITERALS:
            used = without_unused(code, [codes[one] for one in codes if one != path])
        shortened.append((path, compacted(used, named)))
    return tuple(shortened)


def _code(code: str, path: str) -> str:
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
    return {one: without_unused_imports(code) for one, code in codes.items()}


def sources(arch: str) -> list[tuple[str, Traversable]]:
    """Every source file of the firmware: (path within the package, file)."""
    left_out = _BOARD_PORT if arch == "host" else _HOST_PORT
    found = _walk(files("egiz_edge"), "")
    return sorted(
        (one for one in found if not one[0].startswith(left_out)),
        key=lambda one: one[0],
    )


def _data() -> list[Traversable]:
    """What the portal reads: its page, and the texts of each language."""
    found = (files("egiz_edge") / "portal").iterdir()
    return [one for one in found if one.name.startswith(("page.html", "texts_"))]


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            found.append((prefix + entry.name, entry))
    return found


def _make_room(directory: Path) -> None:
    """Remove a bundle, and nothing that might be something else."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / SLOT / RELEASE).is_file():
            raise BundleError(f"{directory} holds something that is not a bundle")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)


def _check(path: Path, file: BundledFile) -> None:
    data = path.read_bytes() if path.is_file() else b""
    if (len(data), hashlib.sha256(data).hexdigest()) != (file.size, file.sha256):
        raise BundleError(f"{path}: not what {RELEASE} says; build the bundle again")
