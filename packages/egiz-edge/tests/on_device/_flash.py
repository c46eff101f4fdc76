"""A NOR flash in RAM with the real littlefs on it; under CPython, a plain directory."""

import sys

_ERASED = 0xFF


_EIO = -5


class Flash:
    """A block device that counts, with a supply that fails at a given operation.

    The operation that is cut is half done: bytes up to the middle are programmed or
    erased, the rest is as it was. From then on it is dead, and `revived` gives what
    the next boot sees.

    Args:
        block_size: in bytes.
        blocks: how many.
        memory: what they hold, if it is not new.
    """

    def __init__(self, block_size, blocks, memory=None):
        self._block_size = block_size
        self._blocks = blocks
        self._memory = memory or bytearray(block_size * blocks)
        self.erases = self.programmed = 0  # blocks, bytes
        self.until_cut = -1  # operations; below zero for never
        self.is_dead = False

    def revived(self):
        """The same memory, after power-on."""
        return Flash(self._block_size, self._blocks, self._memory)

    def readblocks(self, block, buffer, offset=0):
        if self.is_dead:  # no exception: the collector closes files, too
            return _EIO
        start = block * self._block_size + offset
        buffer[:] = memoryview(self._memory)[start : start + len(buffer)]
        return 0

    def writeblocks(self, block, buffer, offset=0):
        if self.is_dead:
            return _EIO
        self.programmed += len(buffer)
        length = self._possible(len(buffer))
        start = block * self._block_size + offset
        memoryview(self._memory)[start : start + length] = memoryview(buffer)[:length]
        return _EIO if self.is_dead else 0

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return self._block_size
        if operation == 6:
            return self._erase(argument)
        return 0

    def _erase(self, block):
        if self.is_dead:
            return _EIO
        self.erases += 1
        start = block * self._block_size
        for position in range(start, start + self._possible(self._block_size)):
            self._memory[position] = _ERASED
        return _EIO if self.is_dead else 0

    def _possible(self, length):
        """How much of an operation is done; half of the one that is cut."""
        self.until_cut -= 1
        self.is_dead = self.until_cut == 0
        return length // 2 if self.is_dead else length


def mount(flash, *, is_new=False):
    """Mount it at /flash."""
    import vfs  # MicroPython's

    if is_new:
        vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/flash")


def unmount():
    """After a power cut, too."""
    import vfs  # MicroPython's

    vfs.umount("/flash")


def directory(blocks=48):
    """A path for an outbox, on a flash of so many blocks."""
    if sys.implementation.name == "micropython":
        mount(Flash(512, blocks), is_new=True)
        return "/flash/outbox"
    import tempfile  # not there on the device

    return tempfile.mkdtemp() + "/outbox"
