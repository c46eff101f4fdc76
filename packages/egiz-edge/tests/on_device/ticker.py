"""Periods: kept, changed, ended early."""

import asyncio

from _ticks import Ticks
from egiz_edge import ticker as module
from egiz_edge.ticker import Ticker


def _run(check):
    kept, module.time = module.time, Ticks()
    try:
        asyncio.run(asyncio.wait_for(check(module.time), 10))
    finally:
        module.time = kept


async def _is_over(ticker):
    """Whether `wait` returns while the ticks stand still."""
    waiting = asyncio.create_task(ticker.wait())
    # Tasks of one instant run in any order; one that sleeps runs after all of them.
    await asyncio.sleep(0.02)
    is_over = waiting.done()
    waiting.cancel()
    await asyncio.sleep(0)
    return is_over


def test_a_late_period_does_not_delay_those_after_it():
    async def check(ticks):
        ticker = Ticker(lambda: 100000)
        found = []
        # Not just before the end: a wait of 1 ms would really be over.
        for now in (60000, 100000, 150000, 160000, 200000):
            ticks.now = now
            found.append(await _is_over(ticker))
        assert found == [False, True, False, False, True]

    _run(check)


def test_missed_periods_are_not_made_up_for():
    async def check(ticks):
        ticker = Ticker(lambda: 100000)
        ticks.now = 1000000
        assert await _is_over(ticker)
        assert not await _is_over(ticker)
        ticks.now = 1100000
        assert await _is_over(ticker)

    _run(check)


def test_now_ends_a_wait_and_the_period_goes_on():
    async def check(ticks):
        ticker = Ticker(lambda: 100000)
        ticks.now = 50000
        ticker.now()
        assert await _is_over(ticker)
        assert not await _is_over(ticker)
        ticks.now = 100000
        assert await _is_over(ticker)

    _run(check)


def test_a_shorter_period_applies_to_the_wait_that_runs():
    async def check(ticks):
        period = [3600000]
        ticker = Ticker(lambda: period[0])
        waiting = asyncio.create_task(ticker.wait())
        ticks.now = 5000
        await asyncio.sleep(0)
        assert not waiting.done()
        period[0] = 1000
        await waiting

    _run(check)
