"""The supervisor: restarts what fails; feeds the watchdog while all make progress."""

import asyncio

from _board import Log
from _ticks import DAY_MS, Ticks
from egiz_edge import dns, mqtt, timeouts
from egiz_edge import supervisor as module
from egiz_edge.supervisor import Supervisor


class Watchdog:
    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


class Device:
    def __init__(self):
        self.watchdog = Watchdog()
        self.log = Log()
        self.stalls = []
        self.short = []  # of memory
        self.turns = 0
        self.runs = 0

    def period_ms(self):
        return 10

    async def _turn(self):
        while True:
            self.turns += 1
            await asyncio.sleep(0.001)

    async def _fail(self):
        self.runs += 1
        raise ValueError("boom")

    async def _exhaust(self):
        self.runs += 1
        raise MemoryError("no")

    async def _exhaust_weekly(self):
        if self.runs and self.runs % 2 == 0:  # twice in a row
            module.time.now += 7 * DAY_MS
        await self._exhaust()

    async def run(self, *tasks):
        """Fifty checks of a supervised set of tasks."""
        supervisor = Supervisor(
            self.watchdog, self.log, self.stalls.append, self.short.append
        )
        for name in tasks:
            supervisor.start(name, getattr(self, "_" + name), self)
        for _ in range(50):
            supervisor.check()
            module.time.now += 2
            await asyncio.sleep(0.002)
        supervisor.stop()
        await supervisor.run()
        return supervisor


def _with(restart_ms, stall_ms, *tasks):
    kept = timeouts.RESTART_MS, timeouts.STALL_MS, module.time
    module.time = Ticks()
    timeouts.RESTART_MS, timeouts.STALL_MS = restart_ms, stall_ms
    device = Device()
    try:
        device.supervisor = asyncio.run(device.run(*tasks))
    finally:
        timeouts.RESTART_MS, timeouts.STALL_MS, module.time = kept
    return device


def test_the_watchdog_is_fed_while_there_is_progress():
    device = _with(1, 5000, "turn")
    assert device.watchdog.fed == 50
    assert device.stalls == []


def test_a_task_that_fails_is_started_again():
    device = _with(1, 5000, "fail")
    assert device.runs > 5
    assert "fail failed, restarting" in device.log.lines[0]


def test_without_progress_the_watchdog_is_not_fed_and_the_task_is_named_once():
    device = _with(1, 20, "fail")
    assert 0 < device.watchdog.fed < 50
    assert device.stalls == ["fail"]
    assert device.supervisor.stalled == "fail"
    expected = "not feeding the watchdog: fail makes no progress; it resets the board"
    assert [line for line in device.log.lines if "watchdog" in line] == [expected]


def _stalls_after(blocked_ms, checks):
    """What is reported of a task that calls keep from running between two checks."""
    device = Device()

    async def run():
        supervisor = Supervisor(device.watchdog, device.log, device.stalls.append, None)
        supervisor.start("turn", device._turn, device)
        for _ in range(checks):
            module.time.now += blocked_ms
            supervisor.check()
        supervisor.stop()
        await supervisor.run()

    kept, module.time = module.time, Ticks()
    try:
        asyncio.run(run())
    finally:
        module.time = kept
    return device.stalls


def test_a_time_in_which_a_call_blocked_all_tasks_is_no_stall():
    # Two handshakes in a row, and what blocks for longer than they may.
    assert _stalls_after(timeouts.BLOCKED_MS, 6) == []
    assert _stalls_after(4 * timeouts.BLOCKED_MS, 2) == ["turn"]


def test_each_wait_of_the_network_ends_before_it_counts_as_a_stall():
    look_up_s = dns.SERVERS_MAX * sum(dns.WAITS_S)
    birth_s = mqtt.CONNECT_S + 3 * mqtt.DEADLINE_S  # two subscriptions and the status
    assert 1000 * max(look_up_s, birth_s) < timeouts.STALL_MS


def test_a_task_that_fails_for_want_of_memory_again_and_again_is_reported():
    device = _with(1, 5000, "exhaust")
    assert device.short[0] == "exhaust"
    assert len(device.short) == device.runs - 2  # from the third one on
    assert _with(1, 5000, "fail").short == []


def test_a_lack_of_memory_a_week_ago_is_not_a_recent_one():
    device = _with(1, 5000, "exhaust_weekly")
    assert device.runs > 2
    assert device.short == []
