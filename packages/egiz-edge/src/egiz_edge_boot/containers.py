"""Appended to egiz_edge/__init__.py of a slot: its modules are in containers.

Each file of littlefs has blocks of its own, and most modules are far smaller than one.
So a slot has containers `1.pack`, `2.pack` and so on, each of some compiled modules one
after another, and `0.pack`, the index. It has seven bytes for each module: the CRC-32
of its path, the number of its container, and where it begins there. A package has a
number that no container has.

The importer reads modules through a file system that is mounted, which is this module.
It asks `stat` for a package, a .py and an .mpy; what `open` then gives is the container
itself, at the module: a compiled module says by itself where it ends.
"""

import io
import sys
from binascii import crc32

import vfs

_POINT = "/m"  # short: the interpreter keeps the path of each module
_PACKAGE = 255
_PART = 126  # bytes of the index that are in memory; whole entries
_FILE = 0x8000
_DIRECTORY = 0x4000
_ABSENT = 2  # ENOENT
_NAMED = "%s/%d.pack"
_directory = __path__
mount = umount = Exception  # they must be there to be called; there is nothing to do
# What `stat` gives. The importer looks at the first member only; the next two are the
# last path and its entry, as each module is asked for several times.
_found = [0, None, b"", 0, 0, 0, 0, 0, 0, 0]


def stat(path):
    """What the importer looks at; raises OSError for what is not there.

    To the importer every error means that it is not there. So where memory is short, or
    the index cannot be read, this says that it is a file, and `open` raises the reason.
    """
    if path.endswith(".py"):
        raise OSError(_ABSENT)
    _found[0], is_there = _FILE, True
    try:
        if path.endswith(".mpy"):
            path = path[:-4]
        if path != _found[1]:
            _found[1] = None
            key, part = crc32(path.encode()).to_bytes(4, "big"), bytearray(_PART)
            with io.open(_NAMED % (_directory, 0), "rb") as file:
                at = -1
                while at < 0 and is_there:
                    is_there = file.readinto(part)
                    at = part.find(key)
            _found[2] = bytes(part[at + 4 : at + 7])
            _found[1] = path if is_there else None
        if is_there and _found[2][0] == _PACKAGE:
            _found[0] = _DIRECTORY
    except (MemoryError, OSError) as error:
        _found[2] = error
    if not is_there:
        raise OSError(_ABSENT)
    return _found


def open(path, mode):
    """A container, at the module that was looked at; or a file that is no module."""
    if not path.endswith(".mpy"):
        return io.open(_directory + path[path.rfind("/") :], mode)
    if _found[1] is None:
        raise _found[2]
    file = io.open(_NAMED % (_directory, _found[2][0]), mode)
    file.seek(int.from_bytes(_found[2][1:], "big"))
    return file


try:
    vfs.umount(_POINT)
except OSError:
    pass  # no slot was tried before this one
vfs.mount(sys.modules[__name__], _POINT)
__path__ = _POINT
