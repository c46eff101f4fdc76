"""Ctrl-C, noted instead of raised.

A KeyboardInterrupt may be raised anywhere, also where Python can only ignore it (while
it collects garbage, for example), and is lost then. What is noted is checked at the
next wait.
"""

import signal
from types import FrameType, TracebackType
from typing import Self

from egiz_cli import ending_signals


class Interrupt:
    """Notes what ends a program while the block runs; a second one is raised."""

    def __init__(self) -> None:
        self.is_set = False

    def __enter__(self) -> Self:
        self._previous = {
            number: signal.signal(number, self._note) for number in ending_signals()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was noted."""
        if self.is_set:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number != signal.SIGHUP:  # a terminal that is closed sends several
            self.check()
        self.is_set = True
