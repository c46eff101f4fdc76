"""What a slot has, and what of it must go; in memory only while that is looked at."""

import os
from binascii import crc32

_DIRECTORY = 0x4000
_AT_ONCE = 8  # paths in memory


def remove(path):
    """Remove a file, if there is one."""
    try:
        os.remove(path)
    except OSError:
        pass


def remove_strangers(slot, named):
    """Remove what a release does not name: a .py would be imported before an .mpy.

    Directories that are empty then are removed, too.

    Args:
        slot: its directory.
        named: what `mark` gives of the paths within it that stay.
    """
    while True:
        strangers = []  # no file is removed while a directory is read
        for path in files_in(slot):
            if mark(path[len(slot) + 1 :]) not in named and len(strangers) < _AT_ONCE:
                strangers.append(path)
        for path in strangers:
            os.remove(path)
        if not strangers:
            break
    _remove_empty(slot)


def _remove_empty(directory):
    """Directories without a file: each has two blocks."""
    for name in [one[0] for one in os.ilistdir(directory) if one[1] & _DIRECTORY]:
        path = directory + "/" + name
        _remove_empty(path)
        try:
            os.rmdir(path)
        except OSError:
            pass  # it has files


def mark(path):
    """A number for a path: a set of the paths themselves would be large."""
    return crc32(path.encode()) & 0x3FFFFFFF  # an integer that is no object


def blocks_in(slot, block):
    """How many blocks of so many bytes the files of a slot have."""
    return sum(-(-os.stat(path)[6] // block) for path in files_in(slot))


def files_in(directory):
    """Paths of all files in a directory and below."""
    for entry in os.ilistdir(directory):  # as a list, it would be large
        path = directory + "/" + entry[0]
        if entry[1] & _DIRECTORY:
            for inner in files_in(path):  # not `yield from`: it saves nothing there
                yield inner
        else:
            yield path
