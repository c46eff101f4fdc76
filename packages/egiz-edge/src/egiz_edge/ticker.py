"""A period that a task waits for, and that may change meanwhile."""

import asyncio
import time


class Ticker:
    """Periods in a row: one that is late does not delay those after it.

    Args:
        period_ms: gives the period; `changed` is called when it gives another.
    """

    def __init__(self, period_ms):
        self._period_ms = period_ms
        self._since = time.ticks_ms()
        self._changed = asyncio.Event()
        self._is_due = False

    async def wait(self):
        """Until the period is over, or `now` is called."""
        while not self._is_due:
            period_ms = self._period_ms()
            late_ms = time.ticks_diff(time.ticks_ms(), self._since) - period_ms
            if late_ms >= 0:
                await asyncio.sleep(0)  # let other tasks run, however late this one is
                self._begin(period_ms, late_ms)
                return
            try:
                await asyncio.wait_for(self._changed.wait(), -late_ms / 1000)
            except asyncio.TimeoutError:
                pass
            self._changed.clear()
        self._is_due = False

    def now(self):
        """Have `wait` return immediately; the period goes on."""
        self._is_due = True
        self._changed.set()

    def changed(self):
        """Have `wait` read the period again."""
        self._changed.set()

    def _begin(self, period_ms, late_ms):
        if late_ms < period_ms:
            self._since = time.ticks_add(self._since, period_ms)
        else:  # what was missed is not made up for
            self._since = time.ticks_ms()
