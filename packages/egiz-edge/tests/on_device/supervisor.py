"""The supervisor: restarts what fails; feeds the watchdog while all make progress."""

import asyncio

from _board import Log
from _ticks import Ticks
from egiz_edge import supervisor as module
from egiz_edge import timeouts
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
        self.turns = 0
        self.runs = 0

    async def _turn(self):
        while True:
            self.turns += 1
            await asyncio.sleep(0.001)

    async def _fail(self):
        self.runs += 1
        raise ValueError("boom")

    async def run(self, *tasks):
        """Fifty checks of a supervised set of tasks."""
        supervisor = Supervisor(self.watchdog, self.log, self.stalls.append)
        for name in tasks:
            supervisor.start(
                name, getattr(self, "_" + name), lambda: self.turns, lambda: 10
            )
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
