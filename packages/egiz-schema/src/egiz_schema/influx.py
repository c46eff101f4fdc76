"""Messages to InfluxDB points: part of the contract, so that every writer agrees.

measurement = kind; tags = facility, device_type, device_id; fields = the payload's path
joined by ``_``; time = timestamp and ms. A message written twice is the same point.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from egiz_schema.address import Kind, Topic
from egiz_schema.messages import Message

Value = float | int | bool | str

# Identity, time and framing are told by tags and time, not by fields.
_NOT_FIELDS = frozenset({"device_id", "timestamp", "ms", "v"})


class Point(NamedTuple):
    """What a database stores of one message; `time_ms` is milliseconds since 1970."""

    kind: Kind
    facility: str
    device_type: str
    device_id: str
    time_ms: int
    fields: dict[str, Value]


def to_point(topic: Topic, message: Message, received_ms: int) -> Point:
    """Map a decoded message.

    Args:
        topic: where it arrived.
        message: what `egiz_schema.decode` made of it.
        received_ms: the time of a message that carries none (a last will), in
            milliseconds since 1970.
    """
    timestamp = getattr(message, "timestamp", None)
    return Point(
        topic.kind,
        topic.facility,
        topic.device_type,
        topic.device_id,
        received_ms if timestamp is None else timestamp * 1000 + message.ms,  # type: ignore[union-attr]  # whatever has a timestamp has ms
        dict(_walk("", message)),
    )


def to_line(point: Point) -> str:
    """Write a point in line protocol, precision ms, without the newline."""
    kind, facility, device_type, device_id, time_ms, fields = point
    written = ",".join(f"{name}={_literal(value)}" for name, value in fields.items())
    return (
        f"{kind},device_id={device_id},device_type={device_type},facility={facility}"
        f" {written} {time_ms}"
    )


def _literal(value: Value) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _walk(prefix: str, value: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(value, msgspec.Struct):
        for name, default in _fields(type(value)):
            item = getattr(value, name)
            if item != default:  # what is not on the wire is not a field
                yield from _walk(f"{prefix}_{name}" if prefix else name, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(f"{prefix}_{index}", item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(f"{prefix}_{name}", item)
    elif value is not None:
        yield prefix, value


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    return tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(struct)
        if field.name not in _NOT_FIELDS
    )
