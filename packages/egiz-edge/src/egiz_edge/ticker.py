"""A period that somebody waits for, and that may change meanwhile."""

import asyncio
import time


class Pace:
    """Periods in a row: that one took long does not move those after it.

    Args:
        period_ms: gives the period; `changed` is called when it gives another.
    """

    def __init__(self, period_ms):
        self._period_ms = period_ms
        self._since = time.ticks_ms()
        self._news = asyncio.Event()
        self._is_asked = False

    async def wait(self):
        """Until the period is over, or `now` is called."""
        while not self._is_asked:
            period_ms = self._period_ms()
            late_ms = time.ticks_diff(time.ticks_ms(), self._since) - period_ms
            if late_ms >= 0:
                await asyncio.sleep(0)  # others have their turn, however late we are
                self._begin(period_ms, late_ms)
                return
            try:
                await asyncio.wait_for(self._news.wait(), -late_ms / 1000)
            except asyncio.TimeoutError:
                pass
            self._news.clear()
        self._is_asked = False

    def now(self):
        """Have `wait` return at once; the period goes on."""
        self._is_asked = True
        self._news.set()

    def changed(self):
        """Have `wait` look at the period again."""
        self._news.set()

    def _begin(self, period_ms, late_ms):
        if late_ms < period_ms:
            self._since = time.ticks_add(self._since, period_ms)
        else:  # what was missed is not made up for
            self._since = time.ticks_ms()
