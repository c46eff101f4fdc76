"""Where in a payload a field of a point comes from, for people."""

from collections.abc import Iterator
from typing import Any

import msgspec
from egiz_schema import EgizError, decode, influx, parse_topic

from egiz_bridge.batch import Message


def path_of(message: Message, field: str) -> str:
    """As `$.electrical.voltage.a`; the field's name if it is not of the payload."""
    topic = parse_topic(message.topic)
    try:
        decoded = decode(topic, message.payload)
    except EgizError:
        return field
    paths = _paths(decoded, influx.plan(type(decoded), ""), "$")
    return next((path for name, path in paths if name == field), field)


def _paths(
    struct: msgspec.Struct, plan: tuple[influx.Step, ...], path: str
) -> Iterator[tuple[str, str]]:
    """(field, path) of what the struct holds."""
    for step in plan:
        value = getattr(struct, step.member)
        here = f"{path}.{step.member}"
        if value is None:
            continue
        if step.parts is not None:
            yield from _paths(value, step.parts, here)
        elif isinstance(value, list):
            yield from _of_items(step.field, here, enumerate(value), "[{}]")
        elif isinstance(value, dict):
            yield from _of_items(step.field, here, value.items(), ".{}")
        else:
            yield step.field, here


def _of_items(
    field: str, path: str, items: Any, form: str
) -> Iterator[tuple[str, str]]:
    for name, value in items:
        here = path + form.format(name)
        if isinstance(value, msgspec.Struct):
            yield from _paths(value, influx.plan(type(value), f"{field}_{name}_"), here)
        else:
            yield f"{field}_{name}", here
