"""Bytes to messages and back; nothing but the package's errors comes out."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar, overload

import msgspec

from egiz_schema import advice, limits, topics, wire
from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import (
    DecodeError,
    EncodeError,
    InvalidPayload,
    TopicError,
    explain,
)
from egiz_schema.known import type_info, unknown_members
from egiz_schema.messages import Command, Config, Message, Status, Telemetry
from egiz_schema.repair import Dropped, integral, repaired, says_something
from egiz_schema.types import is_text
from egiz_schema.wire import BYTES_MAX, VARYING, Payload, plain_shapes

TYPES: dict[str, type[Message]] = {
    "telemetry": Telemetry,
    "status": Status,
    "config": Config,
    "command": Command,
}
# What a device reports is read as far as it is right; an order is obeyed as a whole.
FORGIVEN = frozenset({"telemetry", "status"})

# The groups of telemetry that hold what was measured, the most frequent first.
READINGS = ("status", "thermal", "electrical", "values", "counters", "contacts")

_DECODE = {kind: msgspec.json.Decoder(type_).decode for kind, type_ in TYPES.items()}
_KIND_OF = {type_: kind for kind, type_ in TYPES.items()}
_ENCODER = msgspec.json.Encoder()
_M = TypeVar("_M", bound=Message)
_FIRST_S = limits.TIMESTAMP_S[0]
_DISCONNECTED_C = float(limits.DISCONNECTED_C)  # compared with floats in less time
_is_channel_name = lru_cache(4096)(limits.is_channel_name)


@overload
def decode(topic: Topic | str, payload: Payload) -> Message: ...
@overload
def decode(topic: Topic | str, payload: Payload, message: type[_M]) -> _M: ...
def decode(
    topic: Topic | str, payload: Payload, message: type[msgspec.Struct] | None = None
) -> Message:
    """Read the payload that arrived on `topic`.

    A reading that is wrong is absent from the message, and the others are kept:
    `decode_with_dropped` says which it was.

    Args:
        topic: where it arrived; its last level says which message to expect.
        payload: UTF-8 JSON of at most 4096 bytes.
        message: what the topic is for, if you know it: `Telemetry`, for example. Type
            checkers then know what they get.

    Raises:
        TopicError: the topic is not one of the contract's, or not of `message`.
        MalformedPayload: not JSON, too large or too deep.
        InvalidPayload: JSON, but not this message of this device.
        TypeError: the payload holds no bytes.
    """
    if message is not None:
        topic = _topic_for(message, topic)
    elif isinstance(topic, str):
        topic = parse_topic(topic)
    found, _, _ = decode_with_shape(topic.kind, payload)
    if found.device_id != topic.device_id:
        raise mismatch(topic)
    return found


def decode_with_dropped(
    topic: Topic | str, payload: Payload
) -> tuple[Message, tuple[Dropped, ...]]:
    """`decode`, and what is absent from the message because it was wrong.

    >>> _, dropped = decode_with_dropped(
    ...     "sensors/factory/oven-001/telemetry",
    ...     b'{"device_id":"oven-001","timestamp":1706352600,'
    ...     b'"thermal":{"temperature_zones":[185.0,-999]}}',
    ... )
    >>> dropped
    (Dropped(path='$.thermal.temperature_zones[1]', reason='range'),)

    Raises:
        EgizError: as `decode` does.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    message, _, dropped = decode_with_shape(topic.kind, payload)
    if message.device_id != topic.device_id:
        raise mismatch(topic)
    return message, dropped


def encode(message: Message) -> bytes:
    """Write `message` as compact JSON, once it is known to be valid.

    A writer is held to the whole contract: nothing is forgiven.

    Raises:
        EncodeError: it breaks the contract; `reason` is that of a strict reader.
    """
    kind = kind_of(message)
    try:
        payload = _ENCODER.encode(message)
        read_back = _read_strictly(kind, payload)
    except DecodeError as error:
        hint = advice.of_message(message) if error.reason == "type" else ""
        raise EncodeError(hint or f"{error.path}: {error}", error.reason) from None
    except UnicodeEncodeError:
        raise EncodeError(explain("charset"), "charset") from None
    # Text within itself, and integers of thousands of digits.
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError(advice.of_message(message) or str(error), "type") from None
    if not topics.is_device_id(message.device_id):
        sentence = f"{message.device_id!r}: {explain('bad_device_id')}"
        raise EncodeError(sentence, "bad_device_id")
    if read_back != message:
        if hint := advice.of_message(message):
            raise EncodeError(hint, "type")
        # JSON has no NaN and no infinity: they were written as null.
        raise EncodeError(explain("not_finite"), "not_finite")
    return payload


def unknown_fields(topic: Topic | str, payload: Payload) -> tuple[str, ...]:
    """The fields of a payload that `decode` ignored, as ``$.electrical.thd``.

    They are no error: a newer writer knows more. A reader counts them, to know that it
    is time to upgrade. This reads the payload a second time.

    Raises:
        TopicError: the topic is not one of the contract's.
        DecodeError: not JSON by the rules of the wire.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    known = type_info(TYPES[topic.kind])
    document = wire.parse(wire.as_bytes(payload))
    return tuple(path for path, _ in unknown_members(known, document, "$"))


def kind_of(message: Message) -> str:
    """The last level of the topic of a message.

    Raises:
        EncodeError: it is no message, but a dict, for example.
    """
    try:
        return _KIND_OF[type(message)]
    except KeyError:
        raise EncodeError(advice.of_other(message), "type") from None


def _topic_for(message: type[msgspec.Struct], topic: Topic | str) -> Topic:
    topic = parse_topic(topic) if isinstance(topic, str) else topic
    if TYPES[topic.kind] is not message:
        sentence = f"a topic of {topic.kind} has no {message.__name__}"
        raise TopicError(sentence, "unknown_kind")
    return topic


def mismatch(topic: Topic) -> InvalidPayload:
    """The error of a payload that is another device's."""
    return InvalidPayload(
        f"{explain('device_mismatch')}: {topic.device_id}",
        "device_mismatch",
        "$.device_id",
    )


def has_reading(message: Telemetry) -> bool:
    """Tell whether anything was measured: ``{"thermal": {}}`` says nothing."""
    return any(_has_value(getattr(message, group)) for group in READINGS)


def decode_with_shape(
    kind: str, payload: Payload
) -> tuple[Message, bytes, tuple[Dropped, ...]]:
    """A message, of whatever device; its shape (see `wire.shape`); what was dropped."""
    if type(payload) is not bytes:
        payload = wire.as_bytes(payload)
    # As `wire.shape` begins; a call less for what is known to be sound.
    if len(payload) > BYTES_MAX or (
        (shape := payload.translate(None, VARYING)) not in plain_shapes
    ):
        shape = wire.shape(payload)
    try:
        message = _DECODE[kind](payload)
    except ValueError:
        return _repaired(kind, payload)
    # The slow way finds out what is wrong, if anything is.
    if not _IS_WHOLE[kind](message) or not (
        shape or _is_ascii(msgspec.to_builtins(message))
    ):
        return _repaired(kind, payload)
    return message, shape, ()


def _is_whole_telemetry(message: Telemetry) -> bool:
    """Whether it is plainly right in all that no type can say."""
    status, thermal = message.status, message.thermal
    if message.timestamp < _FIRST_S:
        return False
    # Most have a state; to look at the others takes longer.
    if (status is None or status.operational_state is None) and not has_reading(
        message
    ):
        return False
    if thermal and (zones := thermal.temperature_zones) and _DISCONNECTED_C in zones:
        return False
    if message.values is message.counters is message.contacts is None:
        return True
    return _are_channels(message.values, message.counters, message.contacts)


def _is_whole_status(message: Status) -> bool:
    if message.timestamp is not None and message.timestamp < _FIRST_S:
        return False
    return _are_channels(message.channels)


def _are_channels(*maps: Mapping[str, object] | None) -> bool:
    # A shape says nothing of digits, and where they may stand.
    return all(map(_is_channel_name, chain(*(names for names in maps if names))))


_IS_WHOLE: dict[str, Callable[[Any], bool]] = {
    "telemetry": _is_whole_telemetry,
    "status": _is_whole_status,
    "config": lambda _: True,
    "command": lambda _: True,
}


def _repaired(
    kind: str, payload: bytes, *, forgives: bool = True
) -> tuple[Message, bytes, tuple[Dropped, ...]]:
    """What is left of a payload that is not wholly right; it has no shape."""
    document = wire.parse(payload)
    check_version(document)
    forgives = forgives and kind in FORGIVEN
    members, dropped = repaired(TYPES[kind], document, forgives=forgives)
    message: Message = msgspec.convert(members, TYPES[kind])
    if isinstance(message, Telemetry | Status):
        _refuse_set_clock(message)
    if isinstance(message, Telemetry) and not has_reading(message):
        _refuse_empty(message, document, dropped)
    return message, b"", dropped


def _read_strictly(kind: str, payload: bytes) -> Message:
    """A message of which nothing had to be dropped; raises DecodeError."""
    with suppress(DecodeError):  # its reason may be that of what is left
        message, _, dropped = decode_with_shape(kind, payload)
        if not dropped:
            return message
    return _repaired(kind, payload, forgives=False)[0]


def _refuse_set_clock(message: Telemetry | Status) -> None:
    """Raise for a time before 2020, unless the device says that it has no clock."""
    health = message.status if isinstance(message, Telemetry) else message.health
    is_unset = health is not None and health.time_synced is False
    if message.timestamp is not None and message.timestamp < _FIRST_S and not is_unset:
        raise too_early()


def _refuse_empty(
    message: Telemetry, document: Any, dropped: tuple[Dropped, ...]
) -> None:
    """Raise for telemetry without a reading, unless a newer contract has one there."""
    known = type_info(type(message))
    if any(says_something(value) for _, value in unknown_members(known, document, "$")):
        return
    if dropped:
        path, reason = dropped[0]
        raise InvalidPayload(explain(reason), reason, path)
    raise empty()


def _is_ascii(value: Any) -> bool:
    """Whether all texts and names within are what line protocol can carry."""
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, dict):
        return all(map(_is_ascii, (*value, *value.values())))
    return not isinstance(value, list) or all(map(_is_ascii, value))


def too_early() -> InvalidPayload:
    """The error of a time that only a device without a clock may have."""
    return InvalidPayload(
        "a time before 2020, and time_synced is not false", "range", "$.timestamp"
    )


def empty() -> InvalidPayload:
    """The error of telemetry that says nothing."""
    return InvalidPayload(explain("empty"), "empty")


def check_version(document: Any) -> None:
    """Raise for another wire major: any type may differ, so no other error counts."""
    version = integral(document.get("v")) if isinstance(document, dict) else None
    if type(version) is int and version != limits.WIRE_VERSION:
        raise InvalidPayload(
            f"wire version {version}; {explain('unsupported_version')}",
            "unsupported_version",
            "$.v",
        )


def _has_value(part: object) -> bool:
    if isinstance(part, msgspec.Struct):
        return any(_has_value(getattr(part, name)) for name in part.__struct_fields__)
    if isinstance(part, list):
        return any(map(_has_value, part))
    if isinstance(part, dict):
        return any(map(_has_value, part.values()))
    return part is not None
