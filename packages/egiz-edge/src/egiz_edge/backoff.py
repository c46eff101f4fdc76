"""How long to wait before the next try."""

import random

FIRST_MS = 250
LAST_MS = 2000  # a broker that is back is found again within this


class Backoff:
    """Doubles from try to try; the jitter keeps a thousand devices from one instant."""

    def __init__(self):
        self._ceiling_ms = FIRST_MS

    def reset(self):
        """Begin again at the shortest wait."""
        self._ceiling_ms = FIRST_MS

    def next_ms(self):
        """Milliseconds to wait now: half to all of the ceiling."""
        ceiling_ms = self._ceiling_ms
        self._ceiling_ms = min(2 * ceiling_ms, LAST_MS)
        half = ceiling_ms // 2
        return half + random.getrandbits(16) % (half + 1)
