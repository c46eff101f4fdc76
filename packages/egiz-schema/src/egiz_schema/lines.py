"""From a payload to its line, quickly: what the shape of a payload tells is kept.

Payloads of one shape (`wire.shape`) nearly always have the same members. So the text
around the values, and where they are in the message, are worked out once for a shape;
a further message of that shape fills its values in, if it holds exactly those members.
That is asked of the decoded message: a shape does not say it, for `electrical2` has the
shape of `electrical`.
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
        nulls: how many of them are null: zones that were not read.
        scalars: gives those that stand alone; they come first.
        lists: give the others.
        flags: give the truth values, which `fields` holds already.
        constants: what they must be.
    """

    fields: bytes
    values: int
    nulls: int
    scalars: Callable[[Message], tuple[Any, ...]]
    lists: tuple[Callable[[Message], list[Any] | None], ...]
    flags: tuple[Callable[[Message], bool | None], ...]
    constants: list[bool]


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
        try:
            if (fields := _filled(mold, message)) is not None:
                time_ms = message.timestamp * 1000 + message.ms  # type: ignore[union-attr, operator]  # else it is handled below
                return message, b"%b %b %d" % (influx.series(topic), fields, time_ms)
        except (AttributeError, TypeError):
            pass  # a group, or the timestamp, is absent
    return message, influx.to_line(influx.to_point(topic, message, received_ms))


def _filled(mold: _Mold, message: Message) -> bytes | None:
    """The fields of a message; None if it has other members than the template.

    A known member that is absent, because the payload has another name in its place,
    is null or no item at all, and changes how many there are.
    """
    values: tuple[Any, ...] = mold.scalars(message)
    for listed in mold.lists:
        values += (*(listed(message) or ()),)
    if len(values) != mold.values:
        return None
    if mold.flags and [flag(message) for flag in mold.flags] != mold.constants:
        return None
    joined = _values_as_json(values)
    texts = joined[1:-1].split(b",")
    # A text may have a comma of its own, or the letters of null.
    if len(texts) != mold.values or joined.count(b"null") != mold.nulls:
        return None
    return mold.fields % (*texts,)


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
    scalars, lists, flags, constants = [], [], [], []
    fields, listed = [], []
    for path, name, value in _held(message, influx.plan(type(message), ""), ""):
        if isinstance(value, bool):
            flags.append(path)
            constants.append(value)
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
        text.count("%.0b"),
        attrgetter(*scalars),
        tuple(attrgetter(path) for path in lists),
        tuple(attrgetter(path) for path in flags),
        constants,
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
