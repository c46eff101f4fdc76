"""The rules of the JSON text, whatever the message: I-JSON (RFC 7493), bounded.

A payload is UTF-8 without a byte order mark, not nested deeply, and names each member
of an object once. The parser of messages checks none of these, and a parser that does
is five times slower. But a device sends the same shape again and again, with other
numbers; so a shape that was sound once is remembered.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from egiz_schema import hints, limits
from egiz_schema.errors import InvalidPayload, MalformedPayload, explain

BYTES_MAX = limits.PAYLOAD_BYTES_MAX

_DIGITS_MAX = 400  # the largest float has 309

Payload = bytes | bytearray | memoryview

# What is left without these bytes is the shape. Removing them moves no quote, brace or
# comma, and cannot make equal names differ; but names that differ can become equal.
VARYING = b"0123456789+-."
_VARYING = frozenset(VARYING)

# Shapes that are known to be sound, and whose texts are printable ASCII. The bound
# keeps a flood of invented shapes from growing the process.
_PLAIN_SHAPES_MAX = 4096
plain_shapes: set[bytes] = set()

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def shape(payload: bytes) -> bytes:
    """Check the rules, and give the shape; nothing if it does not suffice.

    All payloads of a shape have as many members in the same places, no object of theirs
    names one twice, and their texts are printable ASCII that needs no escape. A name in
    one may have varying bytes where that of another has none.

    Raises:
        MalformedPayload: not JSON, too large or too deep.
        InvalidPayload: a member is named twice.
    """
    if len(payload) > BYTES_MAX:
        raise _too_large(len(payload))
    shape = payload.translate(None, VARYING)
    if shape in plain_shapes:
        return shape
    names = set(_names(parse(payload)))
    if not payload.isascii() or b"\\" in payload or b"\x7f" in payload:
        return b""
    # A name with a varying byte has the shape of another name.
    if not _are_plain(names):
        return b""
    if len(plain_shapes) >= _PLAIN_SHAPES_MAX:
        plain_shapes.clear()
    plain_shapes.add(shape)
    return shape


def has_plain_names(payload: Payload) -> bool:
    """Whether no member's name has a byte that the shape leaves out."""
    return _are_plain(_names(parse(as_bytes(payload))))


def as_bytes(payload: Payload) -> bytes:
    """The same as bytes, which cannot be changed.

    Raises:
        TypeError: it holds no bytes.
        MalformedPayload: it is too large to be copied.
    """
    if isinstance(payload, bytes):
        return payload
    if not isinstance(payload, bytearray | memoryview):
        raise TypeError(
            f"a payload is bytes, bytearray or memoryview, not "
            f"{type(payload).__name__}; a text needs .encode()"
        )
    size = memoryview(payload).nbytes
    if size > BYTES_MAX:
        raise _too_large(size)
    return bytes(payload)


def parse(payload: bytes) -> Any:
    """Read any JSON by the rules above.

    Raises:
        MalformedPayload: not JSON, too large or too deep.
        InvalidPayload: a member is named twice.
    """
    if len(payload) > BYTES_MAX:
        raise _too_large(len(payload))
    if not payload:
        raise MalformedPayload(explain("no_payload"), "no_payload")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise MalformedPayload(f"byte {error.start} is not UTF-8", "not_utf8") from None
    if _depth(payload) > limits.DEPTH_MAX:
        raise MalformedPayload(explain("too_deep"), "too_deep")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        message = f"{error.msg} at character {error.pos}"
        hint = hints.of_json(text, error.pos)
        raise MalformedPayload(message + hint, "not_json") from None
    if b"\\" in payload:
        _refuse_lone_surrogates(document)
    return document


def _too_large(size: int) -> MalformedPayload:
    return MalformedPayload(f"{size} bytes; {explain('too_large')}", "too_large")


def _depth(payload: bytes) -> int:
    if payload.count(b"{") + payload.count(b"[") <= limits.DEPTH_MAX:
        return 0  # as good as any number that is allowed
    depth = deepest = 0
    for byte in _STRING.sub(b"", payload):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) < len(members):
        raise InvalidPayload(explain("duplicate"), "duplicate")
    return named


def _integer(digits: str) -> float:
    # Beyond any float it is endless, as 1e999 is. Python may be set to refuse more than
    # 640 digits, with an error that is not of the contract.
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def _no_constant(name: str) -> NoReturn:
    raise MalformedPayload(f"JSON has no {name}; leave the member out", "not_json")


def _refuse_lone_surrogates(document: Any) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedPayload(
            "half of a surrogate pair is no character", "not_json"
        ) from None


def _are_plain(names: Iterable[str]) -> bool:
    return not any(set(name.encode()) & _VARYING for name in names)


def _names(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
        document = document.values()
    if not isinstance(document, str | int | float | None):
        for item in document:
            yield from _names(item)
