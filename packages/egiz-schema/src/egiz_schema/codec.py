"""Bytes to messages and back; nothing but the package's errors comes out."""

import msgspec

from egiz_schema import limits, topics
from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import (
    DecodeError,
    EncodeError,
    InvalidPayload,
    MalformedPayload,
)
from egiz_schema.messages import Command, Config, Message, Status, Telemetry

_DECODERS: dict[str, msgspec.json.Decoder[Message]] = {
    "telemetry": msgspec.json.Decoder(Telemetry),
    "status": msgspec.json.Decoder(Status),
    "config": msgspec.json.Decoder(Config),
    "command": msgspec.json.Decoder(Command),
}
_KIND_OF: dict[type[Message], str] = {
    Telemetry: "telemetry",
    Status: "status",
    Config: "config",
    Command: "command",
}
_ENCODER = msgspec.json.Encoder()


def decode(topic: Topic | str, payload: bytes) -> Message:
    """Read the payload that arrived on `topic`.

    Args:
        topic: where it arrived; its last level says which message to expect.
        payload: UTF-8 JSON of at most 4096 bytes.

    Raises:
        TopicError: the topic is not one of the contract's.
        MalformedPayload: not JSON, too large or too deep.
        InvalidPayload: JSON, but not this message of this device.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    message = _decode(topic.kind, payload)
    if message.device_id != topic.device_id:
        raise InvalidPayload(
            f"the topic is {topic.device_id}'s, the payload another device's",
            "device_mismatch",
            "$.device_id",
        )
    return message


def encode(message: Message) -> bytes:
    """Write `message` as compact JSON, once it is known to be valid.

    Raises:
        EncodeError: it breaks the contract; `reason` is what a reader would give.
    """
    payload = _ENCODER.encode(message)
    if not topics.is_device_id(message.device_id):
        raise EncodeError(f"{message.device_id!r} is no device id", "bad_device_id")
    try:
        read_back = _decode(_KIND_OF[type(message)], payload)
    except DecodeError as fault:
        raise EncodeError(str(fault), fault.reason) from None
    if read_back != message:
        # JSON has no NaN and no infinity: they were written as null.
        raise EncodeError("a number is not finite", "not_finite")
    return payload


def _decode(kind: str, payload: bytes) -> Message:
    if len(payload) > limits.PAYLOAD_BYTES_MAX:
        raise MalformedPayload(
            f"{len(payload)} bytes; at most {limits.PAYLOAD_BYTES_MAX}", "too_large"
        )
    try:
        message = _DECODERS[kind].decode(payload)
    except msgspec.ValidationError as fault:
        raise _invalid(str(fault), payload) from None
    except UnicodeDecodeError:
        raise MalformedPayload("not UTF-8", "not_utf8") from None
    except RecursionError:
        raise MalformedPayload("nested too deeply", "too_deep") from None
    except msgspec.DecodeError as fault:
        raise _malformed(str(fault)) from None
    if message.v != limits.WIRE_VERSION:
        raise _unsupported(message.v)
    return message


class _Versioned(msgspec.Struct):
    v: int = limits.WIRE_VERSION


_VERSION_DECODER = msgspec.json.Decoder(_Versioned)


def _unsupported(version: int) -> InvalidPayload:
    return InvalidPayload(
        f"wire version {version}; this reader knows {limits.WIRE_VERSION}",
        "unsupported_version",
        "$.v",
    )


def _malformed(text: str) -> MalformedPayload:
    # msgspec names bytes that are no UTF-8 within a string in its own words.
    reason = "not_utf8" if "utf-8" in text.lower() else "not_json"
    return MalformedPayload(text, reason)


# The start of msgspec's own sentence tells the kind of fault; the tests hold every
# release to these sentences.
_RAISED_HERE = ("charset", "empty")


def _invalid(text: str, payload: bytes) -> InvalidPayload:
    version = _version_of(payload)
    if version != limits.WIRE_VERSION:
        return _unsupported(version)  # a later major may change any type
    told, _, path = text.partition(" - at `")
    return InvalidPayload(text, _reason(told), path.rstrip("`") or "$")


def _reason(told: str) -> str:
    if told in _RAISED_HERE:
        return told
    if "missing required field" in told:
        return "missing"
    bounds = (">=", "<=", "of length", "out of range")
    return "range" if any(bound in told for bound in bounds) else "type"


def _version_of(payload: bytes) -> int:
    try:
        return _VERSION_DECODER.decode(payload).v
    except (ValueError, RecursionError):
        return limits.WIRE_VERSION
