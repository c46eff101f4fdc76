"""Containers: the modules of a slot in few files, as each file has blocks of its own.

`egiz_edge_boot/containers.py` has the format, and what reads it on a board. The same
modules give the same bytes.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from zlib import crc32

from egiz_edge_tools.compact import compacted
from egiz_edge_tools.compiling import compile_file, write

_NAMED, _INDEX = "{}.pack", 0
# Of littlefs. A container has one, or two where a module needs them: larger ones would
# cost more where a download breaks off, as a file is fetched from its beginning.
_BLOCK = 4096
_POINTER = 4  # what the second one begins with
_PART = 126  # bytes of the index that a board reads at once
_PACKAGE = 255
_OWN, _SCHEMA = "egiz_edge/__init__.py", "egiz_schema/__init__.py"
_LOADER = "containers.py"  # becomes a part of the package itself
_CODE_OF_SCHEMA = """import egiz_edge
__path__ = egiz_edge.__path__ + "/egiz_schema"
"""


def contain(directory: Path, arch: str) -> None:
    """Put the modules of a slot into containers.

    Args:
        directory: has the firmware, compiled, each module a file.
        arch: what it is compiled for.
    """
    package = directory / "egiz_edge"
    (directory / _OWN).with_suffix(".mpy").unlink()
    (directory / _SCHEMA).unlink()
    modules = {}
    for path in sorted(directory.rglob("*.mpy")):
        name = path.relative_to(directory).with_suffix("").as_posix()
        modules["/" + name.removeprefix("egiz_edge/")] = path.read_bytes()
        path.unlink()
    for path in [path for path in package.glob("*/*") if path.is_file()]:
        path.rename(package / path.name)  # no module, but page or texts
    for path in [path for path in package.iterdir() if path.is_dir()]:
        path.rmdir()
    put(package, modules)
    own = [files("egiz_edge") / "__init__.py", files("egiz_edge_boot") / _LOADER]
    code = "".join(file.read_text("utf-8") for file in own)
    compile_file(compacted(code), directory, _OWN, arch)
    compile_file(_CODE_OF_SCHEMA, directory, _SCHEMA, arch)


def put(package: Path, modules: Mapping[str, bytes]) -> None:
    """Write the containers of these modules, and their index, into a directory.

    Args:
        package: the directory.
        modules: by path from there, which begins with a slash and has no ending.
    """
    packages = {name.rpartition("/")[0] for name in modules} - {""}
    places = dict.fromkeys(packages, (_PACKAGE, 0))
    for number, names in enumerate(_filled(modules), _INDEX + 1):
        content = b""
        for name in names:
            places[name] = (number, len(content))
            content += modules[name]
        write(package / _NAMED.format(number), content)
    index = b"".join(sorted(_entry(name, *place) for name, place in places.items()))
    for name, place in places.items():
        assert _found(index, name) == _entry(name, *place), name
    for name in {f"{package}/__init__" for package in packages} - set(places):
        assert not _found(index, name), name  # a board asks for it, too
    write(package / _NAMED.format(_INDEX), index)


def _filled(modules: Mapping[str, bytes]) -> list[list[str]]:
    """The modules of each container: the largest first, each where there is room."""
    containers: list[list[str]] = []
    room: list[int] = []
    for name in sorted(modules, key=lambda name: (-len(modules[name]), name)):
        size = len(modules[name])
        number = next((n for n, left in enumerate(room) if left >= size), len(room))
        if number == len(room):
            containers.append([])
            room.append(_BLOCK if size <= _BLOCK else 2 * _BLOCK - _POINTER)
        containers[number].append(name)
        room[number] -= size
    return containers


def _entry(name: str, number: int, at: int) -> bytes:
    return _key(name) + bytes([number]) + at.to_bytes(2, "big")


def _key(name: str) -> bytes:
    return crc32(name.encode()).to_bytes(4, "big")


def _found(index: bytes, name: str) -> bytes:
    """What a board finds: bytes of another entry may be those that it looks for."""
    key, part = _key(name), bytes(_PART)
    for begin in range(0, len(index), _PART):
        new = index[begin : begin + _PART]
        part = new + part[len(new) :]  # the last one does not fill the buffer
        at = part.find(key)
        if at >= 0:
            return part[at : at + 7]
    return b""
