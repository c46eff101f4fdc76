"""What a task waits for: a period that may change, and a backoff, which grows."""

import asyncio
import random
import time

_STEP_MS = 200  # until a change is noticed; a timeout of an event costs more memory
_FIRST_MS = 250  # of a backoff
_LAST_MS = 2000  # a broker that is back is found again within this


class Ticker:
    """Periods in a row: one that is late does not delay those after it.

    Args:
        period_ms: gives the period, also a new one while `wait` runs.

    Attributes:
        turns: how often its task has come to wait.
    """

    def __init__(self, period_ms):
        self.period_ms = period_ms
        self.turns = 0
        self._since = time.ticks_ms()
        self._is_due = False

    async def wait(self):
        """Until the period is over, or `now` is called."""
        self.turns += 1
        while not self._is_due:
            period_ms = self.period_ms()
            late_ms = time.ticks_diff(time.ticks_ms(), self._since) - period_ms
            if late_ms >= 0:
                await asyncio.sleep(0)  # let other tasks run, however late this one is
                self._begin(period_ms, late_ms)
                return
            await asyncio.sleep(min(-late_ms, _STEP_MS) / 1000)
        self._is_due = False

    def now(self):
        """Have `wait` return in a moment; the period goes on."""
        self._is_due = True

    def _begin(self, period_ms, late_ms):
        if late_ms < period_ms:
            self._since = time.ticks_add(self._since, period_ms)
        else:  # what was missed is not made up for
            self._since = time.ticks_ms()


class Backoff:
    """Doubles from try to try; the jitter keeps a thousand devices from one instant."""

    def __init__(self, first_ms=_FIRST_MS, last_ms=_LAST_MS):
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
