"""When to read the socket again: at a low rate, not for each message.

Messages that come one by one would each cost a wake-up, a read and a lock, although
their batch is not due for a long time. So after a read of little, what comes next is
left to the kernel for a moment. How long depends on the rate: no more may come than
the kernel has room for, or the broker would have to wait.
"""

# At the longest: it adds to the latency of a message, so it is half of what its batch
# may linger.
PACE_S = 0.125
# Shorter ones are not worth the wait.
_SHORTEST_S = 0.002
# What should come between two reads. A receive buffer of Linux has room for twice as
# much from the start, and grows.
_BYTES = 32 * 1024


class Pace:
    """Of one connection."""

    def __init__(self) -> None:
        self._read_at_s = self._next_at_s = 0.0

    def was_read(self, size: int, now_s: float) -> None:
        """So many bytes came since the read before."""
        passed_s = now_s - self._read_at_s
        self._read_at_s = now_s
        pause_s = min(PACE_S, passed_s * _BYTES / size)
        if size >= 2 * _BYTES or pause_s < _SHORTEST_S:
            pause_s = 0.0
        self._next_at_s = now_s + pause_s

    def pause_s(self, now_s: float) -> float:
        """How long nothing needs to be read; 0 if it is to be read now."""
        return max(0.0, self._next_at_s - now_s)
