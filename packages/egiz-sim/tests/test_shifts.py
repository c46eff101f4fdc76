"""The shift calendar."""

from datetime import UTC, datetime

import pytest
from egiz_sim.shifts import ROUND_THE_CLOCK, Shifts


def _at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("shifts", "time", "is_on"),
    [
        ("mon-fri 06:00-22:00", "2026-06-01T05:59:59", False),  # a Monday
        ("mon-fri 06:00-22:00", "2026-06-01T06:00:00", True),
        ("mon-fri 06:00-22:00", "2026-06-05T21:59:59", True),
        ("mon-fri 06:00-22:00", "2026-06-05T22:00:00", False),
        ("mon-fri 06:00-22:00", "2026-06-06T12:00:00", False),
        ("sat,sun 00:00-24:00", "2026-06-07T23:59:59", True),
        ("sat,sun 00:00-24:00", "2026-06-08T00:00:00", False),
        ("fri 22:00-06:00", "2026-06-05T23:00:00", True),
        ("fri 22:00-06:00", "2026-06-06T05:59:00", True),
        ("fri 22:00-06:00", "2026-06-06T06:00:00", False),
        ("fri 22:00-06:00", "2026-06-05T05:00:00", False),
        ("sat-mon 06:00-14:00", "2026-06-01T07:00:00", True),
        ("sat-mon 06:00-14:00", "2026-06-02T07:00:00", False),
    ],
)
def test_a_shift_is_on_in_its_hours(shifts, time, is_on):
    assert Shifts.parse(shifts).is_on(_at(time)) is is_on


def test_round_the_clock_has_no_end():
    begin = _at("2026-06-01T00:00:00")
    assert all(ROUND_THE_CLOCK.is_on(begin + hour * 1800) for hour in range(400))


@pytest.mark.parametrize(
    "text",
    [
        *("", "mon", "mon 06:00", "moon 06:00-22:00", "mon 6-22", "mon 24:01-06:00"),
        *("mon 06:60-07:00", "mon 06:00-22:0", "mon- 06:00-x", "mon \u0660:00-22:00"),
    ],
)
def test_what_is_no_calendar_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="mon-fri 06:00-22:00"):
        Shifts.parse(text)
