"""When each device of a fleet measures next; a device may change its rate."""

import heapq
from collections.abc import Sequence

_EXACT_S = 1e-9  # sums of floats are not: what is due at the end is not due before it


class Schedule:
    """Due times, in seconds after the start; the devices alternate.

    Args:
        periods_s: of each device, between two readings.
        end_s: nothing is due from then on; None is never.
    """

    def __init__(self, periods_s: Sequence[float], end_s: float | None) -> None:
        self._periods_s = list(periods_s)
        self._end_s = end_s
        count = len(self._periods_s)
        # A time is the first one and so many periods: rounding errors do not add up.
        self._first_s = [n * p / count for n, p in enumerate(self._periods_s)]
        self._done = [0] * count
        self._heap = [(first, n, 0) for n, first in enumerate(self._first_s)]
        self._changes = [0] * count
        heapq.heapify(self._heap)

    def next_s(self) -> float | None:
        """When the next one is due; None if that is after the end."""
        while self._heap:
            due_s, device, change = self._heap[0]
            is_over = self._end_s is not None and due_s > self._end_s - _EXACT_S
            if change == self._changes[device] and not is_over:
                return due_s
            heapq.heappop(self._heap)
        return None

    def take(self) -> tuple[float, int]:
        """(due, number of the device) of the next one, of which `next_s` knows."""
        due_s, device, change = self._heap[0]
        self._done[device] += 1
        later_s = self._first_s[device] + self._done[device] * self._periods_s[device]
        heapq.heapreplace(self._heap, (later_s, device, change))
        return due_s, device

    def change(self, device: int, period_s: float, now_s: float) -> None:
        """Another period, which begins now."""
        self._periods_s[device] = period_s
        self._first_s[device], self._done[device] = now_s + period_s, 0
        self._changes[device] += 1
        entry = (self._first_s[device], device, self._changes[device])
        heapq.heappush(self._heap, entry)
