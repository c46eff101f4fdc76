"""Virtual time: the first half of programs of a virtual board.

The event loop is MicroPython's own, and so are the pseudo-terminals and the sockets.
Only time is not: it stands still while an answer of the hardware or the broker is due,
and jumps to the next timer when nothing is.
"""

import gc  # noqa: F401  # for the second half, as asyncio
import select
import sys
import time

_real_ticks, _real_diff = time.ticks_ms, time.ticks_diff
_real_sleep_us = time.sleep_us
_POLLED_MS = 50
# Ahead of the real ticks, by which tasks are put in line that wait for no time.
_START = time.ticks_add(time.ticks_ms(), 3600000)


class Time:
    """Stands in for `time`."""

    def __init__(self):
        self.passed = 0  # ms
        self.began_ns = time.time_ns()
        self.answer_ms = 5000  # of real time, until an answer is given up
        self.polled_us = 150  # of real time, for a socket that is polled
        self.on_jump = None
        for name in ("gmtime", "sleep", "sleep_ms", "ticks_add", "ticks_diff"):
            setattr(self, name, getattr(time, name))

    def ticks_ms(self):
        return self.ticks_add(_START, self.passed)

    def time_ns(self):
        return self.began_ns + self.passed * 1000000

    def time(self):
        return self.time_ns() // 1000000000

    def jump(self, ms):
        self.passed += ms
        if self.on_jump:
            self.on_jump()


class Poll:
    """Stands in for `select.poll()`: it waits for answers, and for nothing else."""

    def __init__(self):
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def ipoll(self, wait_ms):
        found = self._found(0)
        if wait_ms == 0:  # another task runs first
            return found
        if 0 < wait_ms <= _POLLED_MS:  # of a socket that is polled
            _real_sleep_us(virtual.polled_us)
        since = _real_ticks()
        while (
            due and not found and _real_diff(_real_ticks(), since) < virtual.answer_ms
        ):
            found = self._found(20)
        if not found:
            due.clear()
            if wait_ms > 0:
                virtual.jump(wait_ms)
        return found

    def _found(self, wait_ms):
        found = [(stream, event) for stream, event in self._poll.ipoll(wait_ms)]
        for stream, event in found:
            if event & select.POLLIN:
                due.pop(id(stream), None)
        return found


class Select:
    """Stands in for `select`."""

    POLLIN, POLLOUT = select.POLLIN, select.POLLOUT
    POLLERR, POLLHUP = select.POLLERR, select.POLLHUP
    poll = Poll


due = {}  # ids of the streams that owe an answer
virtual = Time()
sys.modules["time"] = virtual
sys.modules["select"] = Select
import asyncio  # noqa: E402, F401  # now that time is ours
from asyncio.stream import Stream  # noqa: E402

_write, _close = Stream.write, Stream.close


def _recorded_write(self, data):
    # PUBACK and DISCONNECT have no answer.
    if data[0] not in (0x40, 0xE0):
        due[id(self.s)] = True
    return _write(self, data)


def _recorded_close(self):
    due.pop(id(self.s), None)
    return _close(self)


Stream.write, Stream.close = _recorded_write, _recorded_close
