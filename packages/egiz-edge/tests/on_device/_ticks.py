"""A clock that stands still until a test moves it: stands in for `time` of a module."""

import time


class Real:
    """Those of MicroPython, and the same under CPython."""

    def ticks_ms(self):
        return int(time.time() * 1000) & 0x3FFFFFFF

    def ticks_diff(self, later, earlier):
        return later - earlier


class Ticks:
    """Milliseconds in `now`; CPython's `time` has no ticks."""

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, later, earlier):
        return later - earlier

    def ticks_add(self, ticks, ms):
        return ticks + ms
