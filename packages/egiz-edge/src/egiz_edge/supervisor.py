"""Keeps the tasks of the device running, and feeds the watchdog as long as they are.

A task that fails is restarted alone. A task that makes no progress, though it has not
failed, cannot be trusted, nor can what it shares with others: the watchdog is not fed,
and resets the board. It does the same when a call blocks all tasks for too long; a time
in which one blocks them for less counts as a stall of none of them.
"""

import asyncio
import time

from egiz_edge import timeouts

_ROUND_S = 1
_STEPS = 5  # of a round, so that `stop` is noticed in a moment
_MEMORY_ERRORS, _RECENT_MS = 3, 30000


class Supervisor:
    """Runs tasks.

    Args:
        watchdog: the board's.
        log: called with each line that a person may want to read.
        on_stall: called once, with the name of the task that has stalled.
        on_no_memory: called when tasks fail again and again for want of memory, which
            is then full, or full of holes.
    """

    def __init__(self, watchdog, log, on_stall, on_no_memory):
        self._watchdog = watchdog
        self._log = log
        self._on_stall = on_stall
        self._on_no_memory = on_no_memory
        self._memory_errors = []  # their ticks
        self._watched = []
        self._running = []
        self._is_stopping = False
        self.stalled = None  # name of a task
        self._checked = time.ticks_ms()

    def start(self, name, task, watched=None):
        """Run a coroutine function for ever, and again when it fails or returns.

        Args:
            name: for the log and the reason of a reset.
            task: the coroutine function.
            watched: its `turns` change as long as the task makes progress, and its
                `period_ms()` gives the normal time between two changes; None for a
                task that the watchdog does not depend on.
        """
        if watched is not None:
            self._watched.append(_Watched(name, watched))
        self._running.append(asyncio.create_task(self._forever(name, task)))

    async def run(self):
        """Feed the watchdog while all tasks make progress, until `stop` is called."""
        while not self._is_stopping:
            self.check()
            for _ in range(_STEPS):
                if not self._is_stopping:
                    await asyncio.sleep(_ROUND_S / _STEPS)
        for running in self._running:
            running.cancel()

    def check(self):
        """Feed the watchdog, unless a task has stalled."""
        blocked_ms = self._blocked_ms()
        for watched in self._watched:
            watched.excuse(blocked_ms)
        for watched in self._watched:
            if not watched.is_alive():
                break
        else:
            self.stalled = None
            self._watchdog.feed()
            return
        if self.stalled is None:
            self.stalled = watched.name
            self._log(
                "not feeding the watchdog: %s makes no progress; it resets the board"
                % watched.name
            )
            self._on_stall(watched.name)

    def _count_memory_error(self, name):
        now = time.ticks_ms()
        self._memory_errors = [
            ticks
            for ticks in self._memory_errors
            if 0 <= time.ticks_diff(now, ticks) < _RECENT_MS  # below 0 after 6 days
        ]
        self._memory_errors.append(now)
        if len(self._memory_errors) >= _MEMORY_ERRORS:
            self._on_no_memory(name)

    def stop(self):
        """Have `run` end every task, and itself."""
        self._is_stopping = True

    def _blocked_ms(self):
        """By how much this check is late, as far as that is allowed."""
        now = time.ticks_ms()
        late_ms = time.ticks_diff(now, self._checked) - 1000 * _ROUND_S
        self._checked = now
        return min(max(0, late_ms), timeouts.BLOCKED_MS)

    async def _forever(self, name, task):
        while not self._is_stopping:
            try:
                await task()
                if self._is_stopping:
                    return
            except Exception as error:
                self._log("%s failed, restarting: %r" % (name, error))
                if isinstance(error, MemoryError):
                    self._count_memory_error(name)
            await asyncio.sleep(timeouts.RESTART_MS / 1000)


class _Watched:
    def __init__(self, name, part):
        self.name = name
        self._part = part
        self._last = part.turns
        self._since = time.ticks_ms()

    def excuse(self, ms):
        """Do not count so many milliseconds: no task could run."""
        self._since = time.ticks_add(self._since, ms)

    def is_alive(self):
        """Whether it made progress in time."""
        now, current = time.ticks_ms(), self._part.turns
        if current != self._last:
            self._last, self._since = current, now
            return True
        allowed_ms = self._part.period_ms() + timeouts.STALL_MS
        return time.ticks_diff(now, self._since) <= allowed_ms
