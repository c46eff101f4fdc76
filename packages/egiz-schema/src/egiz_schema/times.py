"""The time of a message as a `datetime`, which is always aware and UTC."""

from datetime import UTC, datetime, timedelta
from typing import Protocol, TypedDict, overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_FIRST_S = -62135596800  # that of the year 1


class Timed(Protocol):
    """Telemetry, as a struct or as a model."""

    @property
    def timestamp(self) -> int: ...  # noqa: D102  # as in the contract
    @property
    def ms(self) -> int: ...  # noqa: D102  # as in the contract


class MaybeTimed(Protocol):
    """A status: a last will has no time."""

    @property
    def timestamp(self) -> int | None: ...  # noqa: D102  # as in the contract
    @property
    def ms(self) -> int: ...  # noqa: D102  # as in the contract


class TimeFields(TypedDict):
    """The two members that say when a message was made."""

    timestamp: int
    ms: int


@overload
def time_of(message: Timed) -> datetime: ...
@overload
def time_of(message: MaybeTimed) -> datetime | None: ...
def time_of(message: MaybeTimed) -> datetime | None:
    """When a telemetry or status message was made; None for a last will.

    A device whose clock was never set says what it believes: a time before 2020, at
    the earliest that of the year 1.
    """
    if message.timestamp is None:
        return None
    if message.timestamp < _FIRST_S:
        return datetime.min.replace(tzinfo=UTC)
    return _EPOCH + timedelta(seconds=message.timestamp, milliseconds=message.ms)


def time_fields(when: datetime) -> TimeFields:
    """The members for a time, cut to ms: ``Telemetry(..., **time_fields(when))``.

    >>> time_fields(datetime(2024, 1, 27, 10, 50, 0, 123999, tzinfo=UTC))
    {'timestamp': 1706352600, 'ms': 123}

    Raises:
        ValueError: `when` has no zone, so it names no instant.
    """
    if when.tzinfo is None:
        raise ValueError("a time needs its zone: datetime.now(UTC), or .astimezone()")
    seconds, ms = divmod((when - _EPOCH) // _MS, 1000)
    return TimeFields(timestamp=seconds, ms=ms)
