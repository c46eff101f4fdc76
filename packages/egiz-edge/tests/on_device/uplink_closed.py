"""A broker that closes one session after another is found less and less often."""

import asyncio

from _board import Log
from _broker import Broker, acknowledging, until
from _ticks import DAY_MS, Real, Ticks
from _uplink import Names, Settings, Timekeeper, Wifi
from egiz_edge import uplink as module
from egiz_edge.uplink import Uplink

module.time = Real()


class Outbox:
    """An empty one."""

    end = 0

    def __len__(self):
        return 0

    def flush(self):
        pass


class Closing:
    """A broker that closes each session at its birth, until `is_kind`."""

    def __init__(self, lasts_ms):
        self.lasts_ms = lasts_ms  # a session, on a clock of the test
        self.births = 0
        self.is_kind = False

    def answer(self, packet):
        if packet[0] & 0xF0 != 0x30:
            return acknowledging(packet)
        self.births += 1
        if self.lasts_ms:
            module.time.now += self.lasts_ms
        return acknowledging(packet) if self.is_kind else None


def _with_a_broker_that_closes(waits_ms, work, lasts_ms=0):
    """Run `work(broker, uplink)` with growing waits of `waits_ms`; gives the log."""
    closing, log = Closing(lasts_ms), Log()

    async def run():
        broker = Broker(answer=closing.answer)
        await broker.start()
        settings = Settings()
        settings.port = broker.port
        parts = Wifi(), settings, Outbox(), Timekeeper(), Names()
        uplink = Uplink(*parts, lambda _: b"{}", log)
        running = asyncio.create_task(uplink.run())
        await work(closing, uplink)
        uplink.stop()
        await running
        await broker.stop()

    # A garbage collection of CPython may last longer than a short session here.
    kept = module.CLOSED_MS, module.SHORT_MS, module.unload
    module.CLOSED_MS, module.SHORT_MS = waits_ms, 300
    module.unload = lambda *_names: None
    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        module.CLOSED_MS, module.SHORT_MS, module.unload = kept
    return log.lines


def test_sessions_that_are_closed_one_after_another_come_less_and_less_often():
    async def work(closing, uplink):
        await until(lambda: closing.births == 5)
        assert uplink.is_closed_again
        # A wait that is long is cut short where the broker changes.
        await uplink.reconnect()
        await until(lambda: closing.births == 6)

    log = _with_a_broker_that_closes((400, 100000), work)
    waits_ms = [int(line.split()[-2]) for line in log if "retry in" in line]
    assert max(waits_ms[:2]) <= 500  # a broker that restarts is found quickly
    assert waits_ms[2:5] == sorted(waits_ms[2:5])
    assert 200 <= waits_ms[2] <= 400
    assert 800 <= waits_ms[4] <= 1600
    reasons = [line for line in log if "the broker closes one session" in line]
    assert len(reasons) == 1
    assert "another device have the id oven-001" in reasons[0]


def test_a_session_that_lasts_ends_the_long_waits():
    async def work(closing, uplink):
        await until(lambda: uplink.is_closed_again)
        births, closing.is_kind = closing.births, True
        await until(lambda: uplink.is_connected)
        assert uplink.is_closed_again  # the status of this session says it
        await until(lambda: not uplink.is_closed_again)
        await until(lambda: closing.births == births + 2)  # and the next one not

    assert _with_a_broker_that_closes((50, 100), work)


def test_a_session_of_a_week_is_not_a_short_one():
    async def work(closing, uplink):
        await until(lambda: closing.births == 4)
        assert not uplink.is_closed_again

    kept, module.time = module.time, Ticks()
    try:
        log = _with_a_broker_that_closes((400, 100000), work, lasts_ms=7 * DAY_MS)
    finally:
        module.time = kept
    assert not [line for line in log if "the broker closes one session" in line]
