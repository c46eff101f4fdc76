"""A clock that stands still until a test moves it: stands in for `time` of a module."""

import time

DAY_MS = 86400000
_PERIOD = 1 << 30  # of an ESP32


class Real:
    """Those of MicroPython, and the same under CPython."""

    def ticks_ms(self):
        return int(time.time() * 1000) & 0x3FFFFFFF

    def ticks_diff(self, later, earlier):
        return later - earlier


class Ticks:
    """Those of a board, `now` milliseconds after its boot; CPython's `time` has none.

    They begin again after 12.4 days, and a difference is right for half of that.
    """

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now % _PERIOD

    def ticks_diff(self, later, earlier):
        return (later - earlier + _PERIOD // 2) % _PERIOD - _PERIOD // 2

    def ticks_add(self, ticks, ms):
        return (ticks + ms) % _PERIOD
