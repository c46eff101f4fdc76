"""From a payload to its line, quickly: the text around the values is kept.

Which fields a message has, and of which types, follows from the shape of its payload
(see `wire.shape`), but for one thing: a member whose name has a digit, sign or point.
So the text around the values, and where they are in the message, are worked out once
for each shape, from a payload without such names; a further message of that shape
fills its values in. One in which a member of the template is absent is found by its
values, and is written the exact way.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from egiz_schema import influx, wire
from egiz_schema.address import Topic
from egiz_schema.codec import decode_with_shape, mismatch
from egiz_schema.messages import Message
from egiz_schema.repair import Dropped

# What follows a value in line protocol. JSON writes these values as line protocol does:
# the texts of a known shape need no escaping.
_SUFFIX = {float: "", int: "i", str: ""}
_values_as_json = msgspec.json.Encoder().encode

_FEWEST = 2  # scalars: of one alone, attrgetter gives no tuple
# The bound keeps a flood of invented shapes from growing the process.
_TEMPLATES_MAX = 4096
templates: "dict[tuple[str, bytes], LineTemplate | None]" = {}


class LineTemplate(NamedTuple):
    """How the messages of one shape are written.

    Attributes:
        line: with %b for the series, for each value and for the time.
        values: how many there are, the time included.
        nulls: how many of these are null: zones that were not read.
        scalars: gives those that stand alone; they come first.
        lists: give the others.
        booleans: gives those that are part of `line`; nothing if there are none.
        expected: what `booleans` gives of a message that fits.
    """

    line: bytes
    values: int
    nulls: int
    scalars: Callable[[Message], tuple[Any, ...]]
    lists: tuple[Callable[[Message], list[Any] | None], ...]
    booleans: Callable[[Message], Any] | None
    expected: Any


def decode_line(
    topic: Topic, payload: wire.Payload, received_ms: int
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
    message, line, _ = decode_line_with_dropped(topic, payload, received_ms)
    return message, line


def decode_line_with_dropped(
    topic: Topic, payload: wire.Payload, received_ms: int
) -> tuple[Message, bytes, tuple[Dropped, ...]]:
    """`decode_line`, and what is absent from the message because it was wrong.

    Raises:
        EgizError: as `decode_line` does.
    """
    message, shape, dropped = decode_with_shape(topic.kind, payload)
    if message.device_id != topic.device_id:
        raise mismatch(topic)
    if shape:
        try:
            template = templates[topic.kind, shape]
        except KeyError:
            template = _learn(topic, shape, message, payload)
        if template and (line := _filled(template, topic, message)):
            return message, line, dropped
    line = influx.to_line(influx.to_point(topic, message, received_ms))
    return message, line, dropped


def _filled(template: LineTemplate, topic: Topic, message: Message) -> bytes | None:
    """The line of a message; nothing if it lacks a member of the template.

    No text of a template has a comma, and commas are part of the shape. So the number
    of values says that no list is absent; then that of nulls, that no scalar is.
    """
    line, count, nulls, scalars, lists, booleans, expected = template
    seconds = message.timestamp  # type: ignore[union-attr]  # as all with a template
    if seconds is None:  # one before 2020 has no shape
        return None
    try:
        values = [*scalars(message)]
        for listed in lists:
            values += listed(message) or ()
        if booleans and booleans(message) != expected:
            return None
    except AttributeError:  # a part of the message is absent, as a whole
        return None
    values.append(seconds * 1000 + message.ms)  # type: ignore[union-attr]  # who has a timestamp has it
    written = _values_as_json(values)
    if written.count(b"null") != nulls:
        return None
    texts = written[1:-1].split(b",")
    if len(texts) != count:
        return None
    return line % (influx.series(topic), *texts)


def _learn(
    topic: Topic, shape: bytes, message: Message, payload: wire.Payload
) -> LineTemplate | None:
    """The template of a shape; nothing if its messages must be written exactly."""
    # Else it would lack a field that others of this shape have.
    if not wire.has_plain_names(payload):
        return None
    if len(templates) >= _TEMPLATES_MAX:
        templates.clear()
    template = _template(message)
    if template and not _filled(template, topic, message):
        template = None  # a text has a comma, or reads as null does
    templates[topic.kind, shape] = template
    return template


def _template(message: Message) -> LineTemplate | None:
    if getattr(message, "timestamp", None) is None:
        return None
    scalars, lists, booleans = [], [], []
    fields, listed = [], []
    nulls = 0
    for path, name, value in _held(message, influx.plan(type(message), ""), ""):
        if isinstance(value, bool):  # the shape says which of the two
            booleans.append(path)
            listed.append(f"{name}={'true' if value else 'false'}")
        elif isinstance(value, list):
            lists.append(path)
            nulls += value.count(None)
            listed += [_slot(f"{name}_{n}", item) for n, item in enumerate(value)]
        elif type(value) in _SUFFIX:
            scalars.append(path)
            fields.append(_slot(name, value))
        else:
            return None  # names that people chose, as in a command's arguments
    if len(scalars) < _FEWEST:
        return None
    text = ",".join(fields + listed).replace(",%.0b", "%.0b")
    read_booleans = attrgetter(*booleans) if booleans else None
    return LineTemplate(
        f"%b {text} %b".encode(),
        text.count("%") + 1,
        nulls,
        attrgetter(*scalars),
        tuple(attrgetter(path) for path in lists),
        read_booleans,
        read_booleans and read_booleans(message),
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
