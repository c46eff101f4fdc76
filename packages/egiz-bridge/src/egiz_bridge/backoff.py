"""How long to wait before the next attempt, for broker and sinks alike."""

import random
from typing import NamedTuple

# Full jitter may draw next to nothing; what is tried again at once is a busy loop.
FLOOR_S = 0.1


class Backoff(NamedTuple):
    """Exponential backoff with full jitter: anything from the floor to a ceiling.

    The ceiling doubles with each failure. Bridges that lost one broker at one instant
    come back spread over all of it, and not in step.

    Attributes:
        first_s: the ceiling after the first failure.
        doublings: how often it doubles at most.
    """

    first_s: float
    doublings: int

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, one at least."""
        ceiling_s = self.first_s * 2 ** min(failures - 1, self.doublings)
        return random.uniform(FLOOR_S, ceiling_s)
