"""Latencies, as histograms with fixed bounds."""

from bisect import bisect_left
from itertools import accumulate

# Seconds: is it below one, and if not, how far behind is a backlog?
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class Latencies:
    """A histogram; one thread observes, others may read at any time."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """Count `count` messages at this latency."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += count
        self.sum_s += seconds * count

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: (upper bound, how many at most)."""
        bounds = [*map(str, map(float, BOUNDS_S)), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))
