"""Runs in MicroPython: littlefs in a file of the host, which is a board's flash.

As a program it writes files there, with paths and contents in hex from stdin, and
prints all files in the same form. Arguments: the file, its number of blocks.
"""

import os
import sys

import vfs  # type: ignore[import-not-found]  # MicroPython's

BLOCK = 4096  # of the ESP32's flash
_DIRECTORY = 0x4000


class Flash:
    """A block device: vfs.AbstractBlockDev of MicroPython's documentation."""

    def __init__(self, path: str, blocks: int) -> None:
        self._file = open(path, "r+b")  # noqa: SIM115, PTH123  # for ever; no pathlib there
        self._blocks = blocks

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        self._file.seek(block * BLOCK + offset)
        self._file.write(buffer)

    def ioctl(self, operation: int, _argument: int) -> int:
        if operation == 3:  # sync
            self._file.flush()
        return {4: self._blocks, 5: BLOCK}.get(operation, 0)


def mount(path: str, blocks: int) -> None:
    """Make the flash the only file system; a new one if there is none on it."""
    flash = Flash(path, blocks)
    try:
        file_system = vfs.VfsLfs2(flash)
    except OSError:
        vfs.VfsLfs2.mkfs(flash)
        file_system = vfs.VfsLfs2(flash)
    vfs.umount("/")
    vfs.mount(file_system, "/")
    os.chdir("/")


def put(path: str, content: str) -> None:
    """Write a file, and make the directories above it."""
    above = path.split("/")[:-1]
    for depth in range(1, len(above) + 1):
        if above[depth - 1] not in os.listdir("/" + "/".join(above[: depth - 1])):  # noqa: PTH208  # no pathlib there
            os.mkdir("/" + "/".join(above[:depth]))  # noqa: PTH102  # as above
    with open("/" + path, "wb") as file:  # noqa: PTH123  # as above
        file.write(bytes.fromhex(content.strip()))


def show(directory: str) -> None:
    """Print path and content, in hex, of each file."""
    for entry in os.ilistdir(directory):  # type: ignore[attr-defined]  # MicroPython's
        path = directory + entry[0]
        if entry[1] == _DIRECTORY:
            show(path + "/")
            continue
        with open(path, "rb") as file:  # noqa: PTH123  # as above
            print(path[1:], file.read().hex())  # noqa: T201  # what it is for


if __name__ == "__main__":
    mount(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        put(*line.split(" "))
    show("/")
