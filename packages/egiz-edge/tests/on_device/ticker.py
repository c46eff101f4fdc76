"""Periods: kept, changed, asked for early."""

import asyncio

from egiz_edge import ticker as module
from egiz_edge.ticker import Pace


class Ticks:
    """Stands in for `time`: it passes where a test says so."""

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, later, earlier):
        return later - earlier

    def ticks_add(self, ticks, ms):
        return ticks + ms


def _run(check):
    kept, module.time = module.time, Ticks()
    try:
        asyncio.run(asyncio.wait_for(check(module.time), 10))
    finally:
        module.time = kept


async def _is_over(pace):
    """Whether `wait` returns while the ticks stand still."""
    waiting = asyncio.create_task(pace.wait())
    # Tasks of one instant come in any order; who sleeps comes after all of them.
    await asyncio.sleep(0.02)
    is_over = waiting.done()
    waiting.cancel()
    await asyncio.sleep(0)
    return is_over


def test_being_late_does_not_move_the_periods_after():
    async def check(ticks):
        pace = Pace(lambda: 100000)
        seen = []
        # Not just before the end: a wait of 1 ms would be over in earnest.
        for now in (60000, 100000, 150000, 160000, 200000):
            ticks.now = now
            seen.append(await _is_over(pace))
        assert seen == [False, True, False, False, True]

    _run(check)


def test_what_was_missed_is_not_made_up_for():
    async def check(ticks):
        pace = Pace(lambda: 100000)
        ticks.now = 1000000
        assert await _is_over(pace)
        assert not await _is_over(pace)
        ticks.now = 1100000
        assert await _is_over(pace)

    _run(check)


def test_one_that_is_asked_for_comes_at_once_and_the_period_goes_on():
    async def check(ticks):
        pace = Pace(lambda: 100000)
        ticks.now = 50000
        pace.now()
        assert await _is_over(pace)
        assert not await _is_over(pace)
        ticks.now = 100000
        assert await _is_over(pace)

    _run(check)


def test_a_shorter_period_counts_at_once():
    async def check(ticks):
        period = [3600000]
        pace = Pace(lambda: period[0])
        waiting = asyncio.create_task(pace.wait())
        ticks.now = 5000
        await asyncio.sleep(0)
        assert not waiting.done()
        period[0] = 1000
        pace.changed()
        await waiting

    _run(check)
