"""The packets of MQTT 5 and 3.1.1 that a subscriber needs, as bytes.

No input or output here. It is the bridge's own because it is the hot path: one read of
the socket carries hundreds of PUBLISH packets, and one write their PUBACKs.
Section numbers are those of the OASIS standard, MQTT Version 5.0.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from egiz_bridge.errors import MqttError

MQTT_5 = 5
MQTT_311 = 4

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK = 2, 3, 4, 9, 11
PINGRESP, DISCONNECT = 13, 14
RETAIN, QOS, DUP = 0x01, 0x06, 0x08  # in the flags of a PUBLISH
PINGREQ_PACKET = b"\xc0\x00"
DISCONNECT_PACKET = b"\xe0\x00"

# The top bit of a byte: "more follows" in a length, "failure" in a reason code.
TOP_BIT = 0x80

_VARINT_SHIFT_MAX = 21  # of at most four bytes with seven bits each (1.5.5)

_SESSION_EXPIRY, _RECEIVE_MAXIMUM, _MAXIMUM_PACKET_SIZE = 0x11, 0x21, 0x27
# As a session expiry (3.1.2.11.2).
NEVER_EXPIRES_S = 0xFFFFFFFF
_SERVER_KEEP_ALIVE, _ASSIGNED_CLIENT_ID, _MAXIMUM_QOS = 0x13, 0x12, 0x24
_WILDCARDS = 0x28

_UNSUPPORTED_VERSION = (0x01, 0x84)  # as said by a broker of 3.1.1, and of 5

# What passes without anyone: not available, busy, shutting down, too many at once.
_PASSING = (0x03, 0x88, 0x89, 0x8B, 0x97, 0x9F)
TAKEN_OVER = 0x8E

# How each property is laid out (2.2.2.2): number of bytes, or a kind of string.
_PROPERTY_SIZES = {
    0x11: 4,
    0x12: "string",
    0x13: 2,
    0x15: "string",
    0x16: "string",
    0x1A: "string",
    0x1C: "string",
    0x1F: "string",
    0x21: 2,
    0x22: 2,
    0x24: 1,
    0x25: 1,
    0x26: "pair",
    0x27: 4,
    0x28: 1,
    0x29: 1,
    0x2A: 1,
}

# 2.4 and, below 6, the return codes of 3.1.1: what a person can do something about.
_REASONS = {
    0x01: "unsupported protocol version",
    0x02: "client id refused",
    0x03: "broker not available",
    0x04: "bad user name or password",
    0x05: "not authorised",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x84: "unsupported protocol version",
    0x85: "client id refused",
    0x86: "bad user name or password",
    0x87: "not authorised",
    0x88: "broker not available",
    0x89: "broker busy",
    0x8A: "banned",
    0x8B: "broker is shutting down",
    0x8D: "keep alive timeout",
    0x8E: "another client took over this client id (is a second bridge running?)",
    0x93: "receive maximum exceeded",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x9F: "connection rate exceeded",
}


class Publish(NamedTuple):
    """A PUBLISH packet (3.3); `packet_id` is 0 at QoS 0, `flags` as in 3.3.1.

    Of one that is too large, `missing` bytes of the payload were not kept.
    """

    topic: bytes
    payload: bytes
    packet_id: int
    flags: int
    missing: int = 0

    @property
    def retain(self) -> bool:
        """Whether the broker had kept it for new subscribers."""
        return bool(self.flags & RETAIN)


class Control(NamedTuple):
    """Any other packet."""

    kind: int
    body: bytes


class ConnAck(NamedTuple):
    """What the broker granted (3.2); nothing where it does not overrule us.

    Attributes:
        receive_maximum: how many messages it accepts unacknowledged; EMQX sends no
            more, too.
    """

    session_present: bool
    keepalive_s: int | None = None
    session_expiry_s: int | None = None
    receive_maximum: int | None = None
    maximum_packet_bytes: int | None = None
    maximum_qos: int | None = None
    assigned_client_id: str = ""


class Terms(NamedTuple):
    """What a CONNECT asks for; 3.1.1 knows the keepalive only."""

    keepalive_s: int
    session_expiry_s: int
    receive_maximum: int
    maximum_packet_bytes: int


def connect(
    version: int,
    client_id: str,
    credentials: tuple[str, str | None] | None,
    terms: Terms,
) -> bytes:
    """CONNECT (3.1) that resumes the session of `client_id`, or starts it.

    With a session expiry of 0, a new session begins, and ends with the connection.
    """
    user, password = credentials or (None, None)
    flags = (user is not None) << 7 | (password is not None) << 6
    flags |= (not terms.session_expiry_s) << 1
    body = _string("MQTT") + struct.pack("!BBH", version, flags, terms.keepalive_s)
    if version == MQTT_5:
        body += _prefixed(
            struct.pack("!BI", _SESSION_EXPIRY, terms.session_expiry_s)
            + struct.pack("!BH", _RECEIVE_MAXIMUM, terms.receive_maximum)
            + struct.pack("!BI", _MAXIMUM_PACKET_SIZE, terms.maximum_packet_bytes)
        )
    for text in (client_id, user, password):
        if text is not None:
            body += _string(text)
    return b"\x10" + _prefixed(body)


def subscribe(version: int, packet_id: int, filters: Iterable[str]) -> bytes:
    """SUBSCRIBE (3.8) at QoS 1; in MQTT 5, retained messages only if it is new."""
    properties, retain_handling = (b"\x00", 0x10) if version == MQTT_5 else (b"", 0)
    options = bytes([retain_handling | 1])
    body = struct.pack("!H", packet_id) + properties
    body += b"".join([_string(one) + options for one in filters])
    return b"\x82" + _prefixed(body)


def unsubscribe(version: int, packet_id: int, filters: Iterable[str]) -> bytes:
    """UNSUBSCRIBE (3.10)."""
    body = struct.pack("!H", packet_id) + (b"\x00" if version == MQTT_5 else b"")
    return b"\xa2" + _prefixed(body + b"".join([_string(one) for one in filters]))


def pubacks(packet_ids: Iterable[int]) -> bytes:
    """PUBACKs (3.4), in the order given, for one write."""
    return b"".join(
        [b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids]
    )


def parse_connack(version: int, body: bytes) -> ConnAck:
    """CONNACK (3.2).

    Raises:
        MqttError: with the broker's reason, if it refused.
    """
    try:
        session_present, code = bool(body[0] & 1), body[1]
        has_properties = version == MQTT_5 and not code
        numbers, texts = _properties(body, 2) if has_properties else ({}, {})
    except IndexError:
        raise MqttError("the broker sent a CONNACK without all its parts") from None
    if code:
        older = version == MQTT_5 and code in _UNSUPPORTED_VERSION
        raise MqttError(
            f"refused: {explain(code)}",
            wants_older_protocol=older,
            is_refusal=code not in _PASSING,
        )
    if numbers.get(_WILDCARDS) == 0:
        reason = "the broker allows no wildcards, and the bridge needs sensors/#"
        raise MqttError(reason, is_refusal=True)
    return ConnAck(
        session_present,
        numbers.get(_SERVER_KEEP_ALIVE),
        numbers.get(_SESSION_EXPIRY),
        numbers.get(_RECEIVE_MAXIMUM),
        numbers.get(_MAXIMUM_PACKET_SIZE),
        numbers.get(_MAXIMUM_QOS),
        texts.get(_ASSIGNED_CLIENT_ID, ""),
    )


def parse_suback(body: bytes, filters: int) -> None:
    """SUBACK (3.9) of so many filters.

    Raises:
        MqttError: if a subscription was refused.
    """
    codes = body[2:][-filters:]
    if len(codes) < filters:
        raise MqttError("the broker sent a SUBACK without all its parts")
    if max(codes) >= TOP_BIT:
        raise MqttError(f"subscription refused: {explain(max(codes))}", is_refusal=True)
    if 0 in codes:
        reason = "the broker grants QoS 0 only: nothing could be guaranteed"
        raise MqttError(reason, is_refusal=True)


def explain(code: int) -> str:
    """A reason code in words."""
    return _REASONS.get(code, f"reason code 0x{code:02x}")


def _properties(body: bytes, position: int) -> tuple[dict[int, int], dict[int, str]]:
    """The properties (2.2.2) by identifier: numbers, texts (of a pair, its value)."""
    length, position = varint(body, position)
    end = position + length
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    while position < end:
        identifier = body[position]
        size = _PROPERTY_SIZES.get(identifier)
        position += 1
        if size is None:
            raise MqttError(f"the broker sent an unknown property 0x{identifier:02x}")
        if isinstance(size, int):
            value = body[position : position + size]
            numbers[identifier] = int.from_bytes(value, "big")
            position += size
            continue
        for _ in range(2 if size == "pair" else 1):
            length = int.from_bytes(body[position : position + 2], "big")
            value = body[position + 2 : position + 2 + length]
            texts[identifier] = value.decode(errors="replace")
            position += 2 + length
    return numbers, texts


def varint(body: bytes, position: int) -> tuple[int, int]:
    """A variable byte integer (1.5.5): (value, position after it)."""
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < TOP_BIT:
            return value, position
        shift += 7
        if shift > _VARINT_SHIFT_MAX:
            raise MqttError("the broker sent a malformed length")


def _prefixed(body: bytes) -> bytes:
    """`body` after its length as a variable byte integer."""
    prefix = bytearray()
    length = len(body)
    while True:
        length, digit = divmod(length, 128)
        prefix.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(prefix) + body


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded
