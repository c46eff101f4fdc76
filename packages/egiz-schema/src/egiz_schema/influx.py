"""Messages to InfluxDB points: part of the contract, so that every writer agrees.

measurement = kind; tags = facility, device_type, device_id; fields = the payload's path
joined by ``_``; time = timestamp and ms. A message written twice is the same point.
What line protocol cannot carry is refused, never changed.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

import msgspec

from egiz_schema.address import Kind, Topic
from egiz_schema.cache import cached_by_topic
from egiz_schema.codec import has_reading
from egiz_schema.errors import EncodeError, explain
from egiz_schema.limits import TIMESTAMP_S
from egiz_schema.messages import Message, Telemetry

Value = float | int | bool | str

# Identity, time and framing are tags and time, not fields.
NOT_FIELDS = frozenset({"device_id", "timestamp", "ms", "v"})
_INT64_MAX = 2**63 - 1
_ESCAPED_IN_KEYS = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})


class Point(NamedTuple):
    """What a database stores of one message; `time_ms` is milliseconds since 1970."""

    kind: Kind
    facility: str
    device_type: str
    device_id: str
    time_ms: int
    fields: Mapping[str, Value]


def to_point(topic: Topic, message: Message, received_ms: int) -> Point:
    """Map a decoded message.

    Args:
        topic: where it arrived.
        message: what `egiz_schema.decode` made of it.
        received_ms: the time of a message that carries none (a last will, or one of a
            device whose clock was never set), in milliseconds since 1970.

    Raises:
        EncodeError: ``unknown``: telemetry of which this version knows no reading. A
            point of its number alone would hide that the rest is missing.
    """
    if isinstance(message, Telemetry) and not has_reading(message):
        raise EncodeError(explain("unknown"), "unknown")
    timestamp = getattr(message, "timestamp", None)
    if timestamp is not None and timestamp < TIMESTAMP_S[0]:
        timestamp = None
    fields: dict[str, Value] = {}
    _collect(message, plan(type(message), ""), fields)
    return Point(
        topic.kind,
        topic.facility,
        topic.device_type,
        topic.device_id,
        received_ms if timestamp is None else timestamp * 1000 + message.ms,  # type: ignore[union-attr]  # whatever has a timestamp has ms
        fields,
    )


def to_line(point: Point) -> bytes:
    """Write a point in line protocol, precision ms, without the newline.

    Raises:
        TopicError: its tags make no topic.
        EncodeError: a value that line protocol cannot carry: ``not_finite``, ``range``
            or ``charset``; or no value at all: ``empty``.
    """
    kind, facility, device_type, device_id, time_ms, fields = point
    if not fields:
        raise EncodeError(explain("empty"), "empty")
    topic = Topic(facility, device_id, kind)
    if topic.device_type != device_type:
        raise EncodeError(f"{device_id} is not of type {device_type}", "bad_device_id")
    written = ",".join([f"{_key(name)}={_literal(fields[name])}" for name in fields])
    return b"%b %b %d" % (series(topic), written.encode(), time_ms)


@cached_by_topic
def series(topic: Topic) -> bytes:
    """Measurement and tags, of an alphabet in which nothing needs escaping."""
    tags = f"device_id={topic.device_id},device_type={topic.device_type}"
    return f"{topic.kind},{tags},facility={topic.facility}".encode()


def _key(name: str) -> str:
    if name.isidentifier() and name.isascii():
        return name  # as all are, but for names that people chose (zones, arguments)
    # Parsers disagree about a backslash in a name: to some it is an escape.
    if not (name and name.isascii() and name.isprintable()) or "\\" in name:
        raise EncodeError(f"{name!r} cannot name a field", "charset")
    return name.translate(_ESCAPED_IN_KEYS)


def _literal(value: Value) -> str:
    if isinstance(value, float):
        if not isfinite(value):
            raise EncodeError(explain("not_finite"), "not_finite")
        return repr(value)
    if isinstance(value, str):
        if not (value.isascii() and value.isprintable()):
            _check_characters(value)
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if not -_INT64_MAX <= value <= _INT64_MAX:
        raise EncodeError("an integer has more than 64 bits", "range")
    return f"{value}i"


def _check_characters(value: str) -> None:
    """Raise for what would end a line, or is no UTF-8; names of networks are UTF-8."""
    if any(
        c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in value
    ):
        raise EncodeError(explain("charset"), "charset")


class Step(NamedTuple):
    """How one member of a struct becomes fields."""

    member: str
    field: str
    default: object
    parts: "tuple[Step, ...] | None"  # of a struct


def _collect(
    struct: msgspec.Struct, plan: tuple[Step, ...], into: dict[str, Value]
) -> None:
    for member, field, default, parts in plan:
        value = getattr(struct, member)
        # What holds its default is not on the wire, and is no field.
        if value is None or value is default:
            continue
        if parts is not None:
            _collect(value, parts, into)
        elif isinstance(value, list):
            _name(field, enumerate(value), into)
        elif member == "args":
            _name(field, _with_floats(value), into)
        elif isinstance(value, dict):
            _name(field, value.items(), into)
        else:
            into[field] = value


def _with_floats(arguments: dict[str, Value]) -> Iterator[tuple[str, Value]]:
    """Numbers alike: 1 and 1.5 of one argument must not be fields of two types."""
    for name, value in arguments.items():
        yield name, float(value) if type(value) is int else value


def _name(
    field: str, items: Iterable[tuple[object, Any]], into: dict[str, Value]
) -> None:
    for name, value in items:
        if isinstance(value, msgspec.Struct):
            _collect(value, plan(type(value), f"{field}_{name}_"), into)
        elif value is not None:
            into[f"{field}_{name}"] = value


@cache
def plan(struct: type[msgspec.Struct], prefix: str) -> tuple[Step, ...]:
    """How the members of a struct become fields, whose names begin with `prefix`."""
    return tuple(
        Step(
            member.name,
            prefix + member.name,
            member.default,
            _parts(member.type, f"{prefix}{member.name}_"),
        )
        for member in msgspec.structs.fields(struct)
        if member.name not in NOT_FIELDS
    )


def _parts(annotation: Any, prefix: str) -> tuple[Step, ...] | None:
    for choice in getattr(annotation, "__args__", (annotation,)):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return plan(choice, prefix)
    return None
