"""Runs on the virtual board before its main.py: what a board of the real kind has.

Its flash is the root of the file system, and `machine` has watchdog and reset.
Arguments: the flash, as a path; where the program imports from first.
"""

import os
import sys
import time

import vfs


class _Flash:
    """The directory in which the interpreter was started."""

    _directory = vfs.VfsPosix(".")

    def __getattr__(self, name):
        return getattr(self._directory, name)

    def rename(self, old, new):
        """That of VfsPosix has one buffer for both paths, unless they are relative."""
        self._directory.rename(old.lstrip("/"), new.lstrip("/"))


class _Machine:
    def WDT(self, timeout):  # noqa: N802, ARG002  # as a board has it; the host waits
        """Arm the watchdog."""
        self.feed(b"w")
        return self

    def feed(self, byte=b"f"):
        """Restart its countdown."""
        with open("/reset", "r+b", 0) as line:
            line.write(byte)

    def reset(self):
        """Reset the board; does not return."""
        self.feed(b"r")
        while True:
            time.sleep(1)


vfs.umount("/")
vfs.mount(_Flash(), "/")
os.chdir("/")
sys.modules["machine"] = _Machine()
sys.path[:] = [sys.argv[2], ".frozen", "/lib"]
