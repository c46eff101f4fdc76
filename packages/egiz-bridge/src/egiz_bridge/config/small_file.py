"""Files that are read as a whole: they have an end, and no wait for it is long.

The running bridge reads some again, in its main loop. A pipe without a writer, or a
device without an end, must not stop that.
"""

import errno
import os
import select
import stat
import time
from pathlib import Path

SECRET_BYTES_MAX = 64 * 1024
BYTES_MAX = 1_000_000
# Until all of a pipe has come, as of `--config <(command)`.
_PIPE_S = 5.0


def read_small_file(
    path: Path, bytes_max: int, *, is_regular_only: bool = True
) -> bytes:
    """What is in a file.

    A pipe or a device is read if that is wanted; one without a writer is an error:
    it was read before, and what it held is gone.

    Raises:
        OSError: why it cannot be used.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if is_regular_only or stat.S_ISDIR(mode):
            _check_regular(mode)
        data = _read(descriptor, bytes_max, time.monotonic() + _PIPE_S)
    finally:
        os.close(descriptor)
    if stat.S_ISFIFO(mode) and not data:
        raise OSError(errno.EINVAL, "it is a pipe without a writer, or was read before")
    return data


def check_small_file(path: Path) -> None:
    """Raise for one that a library must not read.

    Raises:
        OSError: why it cannot be used.
    """
    status = path.stat()
    _check_regular(status.st_mode)
    if status.st_size > BYTES_MAX:
        raise _too_large(BYTES_MAX)


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def _read(descriptor: int, bytes_max: int, until_s: float) -> bytes:
    data = b""
    while len(data) <= bytes_max:
        try:
            part = os.read(descriptor, bytes_max + 1)
        except BlockingIOError:
            left_s = max(0.0, until_s - time.monotonic())
            if select.select([descriptor], [], [], left_s)[0]:
                continue
            raise OSError(errno.ETIMEDOUT, "it has no end within 5 s") from None
        if not part:
            return data
        data += part
    raise _too_large(bytes_max)


def _too_large(bytes_max: int) -> OSError:
    return OSError(errno.EFBIG, f"it has more than {bytes_max:,} bytes")
