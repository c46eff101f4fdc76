"""What the device reports about itself."""

import json

from _board import Clock, Store
from _ticks import Ticks
from egiz_edge import report as module
from egiz_edge.report import Report


class _Board:
    def __init__(self):
        self.clock = Clock()
        self.store = Store()
        self.wifi = self

    def reset_cause(self):
        return "power_on"

    def chip_id(self):
        return "a0b1c2d3e4f5"

    def rssi(self):
        return None

    def ip(self):
        return None


class _Outbox:
    dropped = 0

    def __len__(self):
        return 0


def _with_ticks(test):
    """Run a test on a clock of its own: CPython has no ticks."""

    def run():
        kept, module.time = module.time, Ticks()
        try:
            test()
        finally:
            module.time = kept

    return run


def _times(report, count):
    statuses = [json.loads(report.status("online", [])) for _ in range(count)]
    return [one["timestamp"] * 1000 + one["ms"] for one in statuses]


@_with_ticks
def test_statuses_of_one_instant_have_times_of_their_own():
    board = _Board()
    report = Report("oven-001", board, "")
    report.outbox = _Outbox()
    now_ms = board.clock.now_ms()
    assert _times(report, 3) == [now_ms, now_ms + 1, now_ms + 2]
    board.clock.now_s += 1
    assert _times(report, 1) == [now_ms + 1000]


@_with_ticks
def test_a_clock_that_was_set_back_is_followed():
    board = _Board()
    report = Report("oven-001", board, "")
    report.outbox = _Outbox()
    _times(report, 1)
    board.clock.now_s -= 3600
    assert _times(report, 1) == [board.clock.now_ms()]


@_with_ticks
def test_a_status_is_due_once_a_period():
    report = Report("oven-001", _Board(), "")
    report.outbox = _Outbox()
    report.status("online", [])
    assert not report.is_due(60_000)
    module.time.now += 59_999
    assert not report.is_due(60_000)
    assert report.is_due(59_999)
    assert not report.is_due(59_999)
