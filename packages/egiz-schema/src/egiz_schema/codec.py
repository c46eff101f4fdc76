"""Bytes to messages and back; nothing but the package's errors comes out."""

from collections.abc import Iterator
from typing import Any

import msgspec

from egiz_schema import limits, topics, wire
from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import DecodeError, EncodeError, InvalidPayload, explain
from egiz_schema.messages import Command, Config, Message, Status, Telemetry
from egiz_schema.wire import BYTES_MAX, VARYING, Payload, plain_shapes

TYPES: dict[str, type[Message]] = {
    "telemetry": Telemetry,
    "status": Status,
    "config": Config,
    "command": Command,
}
_DECODE = {kind: msgspec.json.Decoder(type_).decode for kind, type_ in TYPES.items()}
_KIND_OF = {type_: kind for kind, type_ in TYPES.items()}
_ENCODER = msgspec.json.Encoder()


def decode(topic: Topic | str, payload: Payload) -> Message:
    """Read the payload that arrived on `topic`.

    Args:
        topic: where it arrived; its last level says which message to expect.
        payload: UTF-8 JSON of at most 4096 bytes.

    Raises:
        TopicError: the topic is not one of the contract's.
        MalformedPayload: not JSON, too large or too deep.
        InvalidPayload: JSON, but not this message of this device.
        TypeError: the payload holds no bytes.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    message, _ = decode_with_shape(topic.kind, payload)
    if message.device_id != topic.device_id:
        raise mismatch(topic)
    return message


def encode(message: Message) -> bytes:
    """Write `message` as compact JSON, once it is known to be valid.

    Raises:
        EncodeError: it breaks the contract; `reason` is what a reader would give.
    """
    try:
        payload = _ENCODER.encode(message)
        read_back, _ = decode_with_shape(_KIND_OF[type(message)], payload)
    except DecodeError as error:
        raise EncodeError(str(error), error.reason) from None
    except UnicodeEncodeError:
        raise EncodeError(explain("charset"), "charset") from None
    except (TypeError, OverflowError) as error:
        raise EncodeError(str(error), "type") from None
    if not topics.is_device_id(message.device_id):
        sentence = f"{message.device_id!r}: {explain('bad_device_id')}"
        raise EncodeError(sentence, "bad_device_id")
    if read_back != message:
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
    known = msgspec.inspect.type_info(TYPES[topic.kind])
    return tuple(_unknown(known, wire.parse(wire.as_bytes(payload)), "$"))


def mismatch(topic: Topic) -> InvalidPayload:
    """The error of a payload that is another device's."""
    return InvalidPayload(
        f"{explain('device_mismatch')}: {topic.device_id}",
        "device_mismatch",
        "$.device_id",
    )


def has_reading(message: Telemetry) -> bool:
    """Tell whether anything was measured: ``{"thermal": {}}`` says nothing."""
    parts = (message.status, message.thermal, message.electrical)
    return any(map(_has_value, parts))


def decode_with_shape(kind: str, payload: Payload) -> tuple[Message, bytes]:
    """A message, of whatever device, and its shape (see `wire.shape`)."""
    if type(payload) is not bytes:
        payload = wire.as_bytes(payload)
    # As `wire.shape` begins; a call less for what is known to be sound.
    if len(payload) > BYTES_MAX or (
        (shape := payload.translate(None, VARYING)) not in plain_shapes
    ):
        shape = wire.shape(payload)
    try:
        message = _DECODE[kind](payload)
    except ValueError as error:
        raise _explained(error, payload) from None
    if not shape:
        for faulty in faulty_texts(msgspec.to_builtins(message), "$"):
            raise faulty
    if type(message) is Telemetry:
        status = message.status
        # Most have a state; to look at the others takes longer.
        if (status is None or status.operational_state is None) and not has_reading(
            message
        ):
            raise empty()
    return message, shape


def faulty_texts(value: Any, path: str) -> Iterator[InvalidPayload]:
    """An error for each text that line protocol or a terminal cannot carry."""
    if isinstance(value, str):
        if not (value.isascii() and value.isprintable()):
            yield InvalidPayload(explain("charset"), "charset", path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from faulty_texts(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from faulty_texts(name, path)
            yield from faulty_texts(item, f"{path}.{name}")


def empty() -> InvalidPayload:
    """The error of telemetry that says nothing."""
    return InvalidPayload(explain("empty"), "empty")


def check_version(document: Any) -> None:
    """Raise for another wire major: any type may differ, so no other error counts."""
    version = document.get("v") if isinstance(document, dict) else None
    if type(version) is int and version != limits.WIRE_VERSION:
        raise InvalidPayload(
            f"wire version {version}; {explain('unsupported_version')}",
            "unsupported_version",
            "$.v",
        )


def _explained(error: Exception, payload: bytes) -> DecodeError:
    """What was wrong, in the package's words."""
    try:
        # A shape that is known says nothing of numbers: read it again, wholly.
        check_version(wire.parse(payload))
    except DecodeError as explained:
        return explained
    message, _, path = str(error).partition(" - at `")
    return InvalidPayload(str(error), _reason(message), path.rstrip("`") or "$")


# The words of msgspec's own sentences tell the kind of error; the tests hold every
# release to them.
_RANGE = ("<=", ">=", "of length", "out of range")


def _reason(message: str) -> str:
    if "missing required field" in message:
        return "missing"
    return "range" if any(word in message for word in _RANGE) else "type"


def _has_value(part: object) -> bool:
    if isinstance(part, msgspec.Struct):
        return any(_has_value(getattr(part, name)) for name in part.__struct_fields__)
    if isinstance(part, list):
        return any(map(_has_value, part))
    return part is not None


def _unknown(known: Any, document: Any, path: str) -> Iterator[str]:
    if isinstance(known, msgspec.inspect.UnionType):
        known = next(iter(known.types))
    if not isinstance(known, msgspec.inspect.StructType):
        return
    if not isinstance(document, dict):
        return
    types = {field.encode_name: field.type for field in known.fields}
    for name, value in document.items():
        if name in types:
            yield from _unknown(types[name], value, f"{path}.{name}")
        else:
            yield f"{path}.{name}"
