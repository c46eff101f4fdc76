"""Hypothesis strategies (extra ``[testing]``): fuzz your service against the contract.

    >>> from hypothesis import given
    >>> from egiz_schema import encode, testing
    >>> @given(testing.topics_and_messages("telemetry"))
    ... def test_my_service(received):
    ...     topic, message = received
    ...     handle(str(topic), encode(message))

What they draw is valid; `payloads` draws bytes that are nearly so, or not at all.
Floats fit 32 bits, as those of a device do.
"""

import struct
from collections.abc import Iterator
from functools import partial
from math import inf
from operator import ne
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from egiz_schema import limits, topics
from egiz_schema.address import Kind, Topic
from egiz_schema.codec import TYPES, encode, has_reading
from egiz_schema.messages import Health, Message, Telemetry
from egiz_schema.types import CHANNEL_PATTERN

_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=12)
_PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
_Strategy = st.SearchStrategy[Any]


def facilities() -> st.SearchStrategy[str]:
    """Facilities: ``plant``, ``plant-2``."""
    return _words(1, 3).filter(topics.is_facility)


def device_ids() -> st.SearchStrategy[str]:
    """Device ids: ``oven-001``, ``heat-pump-01``."""
    return _words(2, 4).filter(topics.is_device_id)


def addresses(kind: Kind) -> st.SearchStrategy[Topic]:
    """Topics of one kind."""
    return st.builds(Topic, facilities(), device_ids(), st.just(kind))


def messages(kind: Kind) -> st.SearchStrategy[Message]:
    """Valid messages of one kind, of any device."""
    known = inspect.type_info(TYPES[kind])
    return _of(known).map(_with_reading).flatmap(_with_device)


@st.composite
def topics_and_messages(
    draw: st.DrawFn, kind: Kind = "telemetry"
) -> tuple[Topic, Message]:
    """A topic of one kind, and a valid message that arrives there."""
    message = draw(messages(kind))
    return Topic(draw(facilities()), message.device_id, kind), message


@st.composite
def payloads(draw: st.DrawFn, kind: Kind = "telemetry") -> bytes:
    """Bytes that a service may get on a topic of a kind: valid, spoiled, or garbage."""
    payload = bytearray(encode(draw(messages(kind))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        payload[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return draw(st.just(bytes(payload)) | st.binary(max_size=limits.PAYLOAD_BYTES_MAX))


def _words(least: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(_WORD, min_size=least, max_size=most).map("-".join)


def _with_device(message: Message) -> st.SearchStrategy[Message]:
    return device_ids().map(
        lambda device_id: msgspec.structs.replace(message, device_id=device_id)
    )


def _with_reading(message: Message) -> Message:
    if isinstance(message, Telemetry) and not has_reading(message):
        return msgspec.structs.replace(message, status=Health(uptime_seconds=0))
    return message


def _of(known: inspect.Type) -> _Strategy:
    """Values of a type, within its bounds."""
    match known:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return _constrained(_of(inner), extra or {})
        case inspect.StructType(cls=cls):
            return st.builds(cls, **dict(_members(known)))
        case inspect.UnionType(types=choices):
            return st.one_of(*map(_of, choices))
        case inspect.ListType(item_type=item, max_length=most):
            return st.lists(_of(item), max_size=min(most or 4, 4))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=4)
    return _scalar(known)


def _constrained(values: _Strategy, extra: dict[str, Any]) -> _Strategy:
    """What no bound can say: the pattern of a name, and a number that is none."""
    if extra.get("pattern") == CHANNEL_PATTERN:
        return st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)
    if "not" in extra:
        return values.filter(partial(ne, extra["not"]["const"]))
    return values


def _members(known: inspect.StructType) -> Iterator[tuple[str, _Strategy]]:
    for field in known.fields:
        if field.name == "timestamp":  # of a device that has a clock
            yield field.name, st.integers(*limits.TIMESTAMP_S)
        else:
            yield field.name, _of(field.type)


def _scalar(known: inspect.Type) -> _Strategy:
    match known:
        case inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case inspect.FloatType(ge=least, le=most):
            singles = st.floats(least, most).map(_single)
            return singles.map(partial(_clamped, least, most))
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(_PRINTABLE, min_size=least or 0, max_size=most)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    raise TypeError(f"no strategy for {known}")


def _clamped(least: float | None, most: float | None, value: float) -> float:
    """Within its bounds again, after rounding."""
    lower, upper = -inf if least is None else least, inf if most is None else most
    return max(lower, min(upper, value))


def _single(value: float) -> float:
    """The nearest 32-bit float: what a device can measure."""
    (single,) = struct.unpack("f", struct.pack("f", value))
    return float(single)
