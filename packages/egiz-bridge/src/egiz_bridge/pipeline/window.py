"""How much the broker leaves unacknowledged before it waits, as far as was seen.

A broker with a small window (RabbitMQ's prefetch is 10) sends nothing more until it
gets an acknowledgement. A batch that lingers then waits for nothing.
"""

# Full so many times, each time soon after PUBACKs: this is no chance, it is a limit.
_SURE = 10
# Nothing came for so long, with a batch begun: the window is full, or no one publishes.
_STILL_S = 0.1


class Window:
    """Of one connection; wrong guesses cost a smaller batch, and are forgotten."""

    def __init__(self) -> None:
        self._open = 0
        self._size = 0  # 0: not known
        self._last_s = self._acknowledged_s = 0.0
        self._times_full = 0

    @property
    def limit(self) -> int:
        """How many it is, once that is sure; 0 until then."""
        return self._size if self._times_full >= _SURE else 0

    @property
    def is_known(self) -> bool:
        """Whether it was seen to be full."""
        return bool(self._size)

    @property
    def is_full(self) -> bool:
        """Whether the broker will send nothing before an acknowledgement."""
        return bool(self._size) and self._open >= self._size

    def received(self, count: int, now_s: float) -> None:
        """Count messages that are to be acknowledged."""
        self._open += count
        self._last_s = now_s
        if self._open > self._size:
            self._size = self._times_full = 0
        elif count and self.is_full:
            is_soon = now_s - self._acknowledged_s < _STILL_S
            self._times_full = self._times_full + 1 if is_soon else 0

    def acknowledged(self, count: int, now_s: float) -> None:
        """Count PUBACKs."""
        self._open -= count
        self._acknowledged_s = now_s

    def lingered(self, now_s: float) -> None:
        """Learn from a batch that was not filled in its time."""
        if now_s - self._last_s >= _STILL_S:
            self._size, self._times_full = self._open, 0
