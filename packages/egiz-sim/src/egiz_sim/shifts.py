"""The shift calendar: on which days of the week and hours of the day a plant works."""

from typing import NamedTuple, Protocol

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN = 24 * 60
_EPOCH_DAY = 3  # 1970-01-01 was a Thursday
_SHAPE = "as in 'mon-fri 06:00-22:00', in UTC"


class Calendar(Protocol):
    """When a plant works."""

    def is_on(self, time_s: float) -> bool:
        """Whether it works at this time, in seconds since 1970."""


class Since(NamedTuple):
    """A plant that works from a time on."""

    begin_s: float

    def is_on(self, time_s: float) -> bool:
        """Whether the plant works at this time, in seconds since 1970."""
        return time_s >= self.begin_s


class Shifts(NamedTuple):
    """Days and hours, UTC; hours that end before they begin end on the next day.

    Attributes:
        days: on which a shift begins, 0 is Monday.
        begin_min, end_min: minutes since midnight; equal ones are all day.
    """

    days: frozenset[int]
    begin_min: int
    end_min: int

    @classmethod
    def parse(cls, text: str) -> "Shifts":
        """Read ``mon-fri 06:00-22:00``.

        Raises:
            ValueError: with one sentence.
        """
        days, _, hours = text.strip().partition(" ")
        begin, dash, end = hours.strip().partition("-")
        if not dash:
            raise ValueError(f"days and hours, {_SHAPE}")
        return cls(_days(days), _minutes(begin), _minutes(end))

    def is_on(self, time_s: float) -> bool:
        """Whether the plant works at this time, in seconds since 1970."""
        day, minute = divmod(int(time_s // 60), _DAY_MIN)
        today = (day + _EPOCH_DAY) % len(_DAYS)
        if self.begin_min < self.end_min:
            return today in self.days and self.begin_min <= minute < self.end_min
        yesterday = (today - 1) % len(_DAYS)
        return (today in self.days and minute >= self.begin_min) or (
            yesterday in self.days and minute < self.end_min
        )


ROUND_THE_CLOCK = Shifts(frozenset(range(len(_DAYS))), 0, 0)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(f"days are {' '.join(_DAYS)}, {_SHAPE}")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {day % 7 for day in range(begin, end + 1 + 7 * (end < begin))}
    return frozenset(found)


def _minutes(text: str) -> int:
    hour, colon, minute = text.partition(":")
    digits = hour + minute
    if colon and digits.isascii() and digits.isdigit() and len(minute) == 2:  # noqa: PLR2004  # digits
        minutes = int(hour) * 60 + int(minute)
        if int(minute) < 60 and minutes <= _DAY_MIN:  # noqa: PLR2004  # minutes
            return minutes % _DAY_MIN
    raise ValueError(f"hours are 00:00 to 24:00, {_SHAPE}")
