"""From a payload to its line, quickly: what the shape of a payload tells is kept.

Which fields a message has, and of which types, is told by its shape (`wire.shape`). So
the text around the values, and where they are in the message, are worked out once for
each shape; a further message of that shape fills its values in.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from egiz_schema import influx
from egiz_schema.address import Topic
from egiz_schema.codec import decode_with_shape
from egiz_schema.messages import Message

# What follows a value in line protocol. JSON writes these values as line protocol does:
# the texts of a known shape need no escaping.
_SUFFIX = {float: "", int: "i", str: ""}
_values_as_json = msgspec.json.Encoder().encode

_FEWEST = 2  # scalars: of one alone, attrgetter gives no tuple
# The bound keeps a flood of invented shapes from growing the process.
_MOLDS_MAX = 4096
molds: "dict[tuple[str, bytes], _Mold | None]" = {}


class _Mold(NamedTuple):
    """How the messages of one shape are written.

    Attributes:
        fields: all fields, with %b for each value.
        values: how many there are.
        scalars: gives those that stand alone; they come first.
        lists: give the others.
    """

    fields: bytes
    values: int
    scalars: Callable[[Message], tuple[Any, ...]]
    lists: tuple[Callable[[Message], list[Any]], ...]


def decode_line(
    topic: Topic, payload: bytes, received_ms: int
) -> tuple[Message, bytes]:
    """Read a payload, and write its point in line protocol, precision ms.

    The line says what `to_line(to_point(...))` says; the order of its fields, which
    means nothing to a database, may be another.

    Args:
        topic: where the payload arrived.
        payload: its bytes.
        received_ms: the time of a message that carries none (a last will), in
            milliseconds since 1970.

    Raises:
        DecodeError: the payload is not of the contract.
        EncodeError: it holds what line protocol cannot carry.
    """
    message, shape = decode_with_shape(topic, payload)
    if shape and (mold := _mold(topic.kind, shape, message)):
        values: tuple[Any, ...] = mold.scalars(message)
        for listed in mold.lists:
            values += (*listed(message),)
        texts = _values_as_json(values)[1:-1].split(b",")
        if len(texts) == mold.values:  # no text has a comma of its own
            time_ms = message.timestamp * 1000 + message.ms  # type: ignore[union-attr, operator]  # all with a mold have both
            fields = mold.fields % (*texts,)
            return message, b"%b %b %d" % (influx.series(topic), fields, time_ms)
    return message, influx.to_line(influx.to_point(topic, message, received_ms))


def _mold(kind: str, shape: bytes, message: Message) -> _Mold | None:
    """How such a message is written; nothing if it must be worked out."""
    try:
        return molds[kind, shape]
    except KeyError:
        if len(molds) >= _MOLDS_MAX:
            molds.clear()
        molds[kind, shape] = mold = _molded(message)
        return mold


def _molded(message: Message) -> _Mold | None:
    if getattr(message, "timestamp", None) is None:
        return None
    scalars, lists = [], []
    fields, listed = [], []
    for path, name, value in _held(message, influx.plan(type(message), ""), ""):
        if isinstance(value, bool):  # which of the two, the shape tells
            listed.append(f"{name}={'true' if value else 'false'}")
        elif isinstance(value, list):
            lists.append(path)
            listed += [_slot(f"{name}_{n}", item) for n, item in enumerate(value)]
        elif type(value) in _SUFFIX:
            scalars.append(path)
            fields.append(_slot(name, value))
        else:
            return None  # names that people chose, as in a command's arguments
    if len(scalars) < _FEWEST:
        return None
    text = ",".join(fields + listed).replace(",%.0b", "%.0b")
    return _Mold(
        text.encode(),
        text.count("%"),
        attrgetter(*scalars),
        tuple(attrgetter(path) for path in lists),
    )


def _slot(name: str, value: object) -> str:
    """A field to be; a zone that was not read takes a value and writes nothing."""
    return "%.0b" if value is None else f"{name}=%b{_SUFFIX[type(value)]}"


def _held(
    struct: msgspec.Struct, plan: tuple[influx.Step, ...], path: str
) -> Iterator[tuple[str, str, Any]]:
    """(path, field, value) of what the struct holds."""
    for member, name, default, parts in plan:
        value = getattr(struct, member)
        if value is None or value is default:
            continue
        if parts is None:
            yield path + member, name, value
        else:
            yield from _held(value, parts, f"{path}{member}.")
