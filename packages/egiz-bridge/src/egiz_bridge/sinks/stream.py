"""Lines to a pipe or a terminal: whoever reads it may be slow, or gone."""

import os
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

WAIT_S = 10.0


class Stream:
    """Writes whole lines, and never waits longer than `WAIT_S` for the reader.

    Attributes:
        is_used: whether anything was to be written.

    Args:
        descriptor: what is written to; it is closed by `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self.is_used = False
        self._descriptor = descriptor
        self._owed = b""  # the rest of a line of which the reader has the beginning
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)

    def is_at(self, path: Path) -> bool:
        """Whether this is what stands at a path now."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines.

        A pipe accepts up to `PIPE_BUF` bytes as a whole or not at all: only a line that
        is longer can be cut, and then its rest is written first the next time.

        Raises:
            TimeoutError: the reader does not read.
            OSError: there is none any more, say.
        """
        self.is_used = True
        ends_at_s = time.monotonic() + WAIT_S
        for piece in (self._owed, *_pieces(lines)):
            left = piece
            while left:
                self._await_room(ends_at_s)
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]
                self._owed = left

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _await_room(self, ends_at_s: float) -> None:
        left_s = max(ends_at_s - time.monotonic(), 0.0)
        if not self._room.poll(left_s * 1000):
            raise TimeoutError


def _pieces(lines: Sequence[bytes]) -> Iterator[bytes]:
    """As many lines in each as a pipe accepts as a whole; one at least."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    yield piece
