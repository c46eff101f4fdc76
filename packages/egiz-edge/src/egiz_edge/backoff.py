"""How long to wait before the next try."""

import random

FIRST_MS = 250
LAST_MS = 2000  # a broker that is back is found again within this


class Backoff:
    """Doubles from try to try; the jitter keeps a thousand devices from one instant."""

    def __init__(self, first_ms=FIRST_MS, last_ms=LAST_MS):
        self._first_ms = self._ceiling_ms = first_ms
        self._last_ms = last_ms

    def reset(self):
        """Begin again at the shortest wait."""
        self._ceiling_ms = self._first_ms

    def next_ms(self):
        """Milliseconds to wait now: half to all of the ceiling."""
        ceiling_ms = self._ceiling_ms
        self._ceiling_ms = min(2 * ceiling_ms, self._last_ms)
        half = ceiling_ms // 2
        return half + random.getrandbits(16) % (half + 1)
