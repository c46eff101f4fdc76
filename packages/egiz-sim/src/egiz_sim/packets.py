"""Packets of MQTT 3.1.1: what a publisher or subscriber writes, and what it reads.

Section numbers are those of the OASIS standard, MQTT Version 3.1.1.
"""

import struct
from typing import NamedTuple

KEEPALIVE_S = 30
CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
CONNACK_BYTES = 4
REFUSED = 0x80  # in a SUBACK
DUP, RETAIN = 0x08, 0x01
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

_PUBLISH_QOS1 = 0x32
_LENGTH_DIGITS = 4  # 2.2.3
_NUMBER_BYTES = 2


class MalformedError(ConnectionError):
    """What came is no packet of MQTT: the connection is of no use any more (4.8)."""

    def __init__(self) -> None:
        super().__init__("what it sends is not MQTT 3.1.1; is the port right?")


class Publish(NamedTuple):
    """A PUBLISH that was read; `packet_id` is empty at QoS 0."""

    topic: bytes
    packet_id: bytes
    payload: bytes


def connect(
    client_id: str, will: tuple[str, bytes], username: str | None, password: str | None
) -> bytes:
    """CONNECT (3.1): clean session, last will (topic, payload) at QoS 1, retained."""
    fields = [client_id.encode(), will[0].encode(), will[1]]
    return _connect(0x02 | 0x04 | 0x08 | 0x20, fields, username, password)


def connect_subscriber(
    client_id: str, username: str | None, password: str | None, *, is_clean: bool
) -> bytes:
    """CONNECT (3.1) without a last will; the session stays unless it is clean."""
    return _connect(0x02 * is_clean, [client_id.encode()], username, password)


def _connect(
    flags: int, fields: list[bytes], username: str | None, password: str | None
) -> bytes:
    if username is not None:
        flags |= 0x80
        fields.append(username.encode())
        if password is not None:
            flags |= 0x40
            fields.append(password.encode())
    body = _prefixed(b"MQTT") + struct.pack("!BBH", 4, flags, KEEPALIVE_S)
    body += b"".join(map(_prefixed, fields))
    return b"\x10" + _length(len(body)) + body


def publish(packet_id: int, topic: str, payload: bytes, flags: int = 0) -> bytes:
    """PUBLISH (3.3) at QoS 1; `flags` are of DUP and RETAIN."""
    body = _prefixed(topic.encode()) + packet_id.to_bytes(2, "big") + payload
    return bytes([_PUBLISH_QOS1 | flags]) + _length(len(body)) + body


def subscribe(packet_id: int, topic: str) -> bytes:
    """SUBSCRIBE (3.8) at QoS 1."""
    body = packet_id.to_bytes(2, "big") + _prefixed(topic.encode()) + b"\x01"
    return b"\x82" + _length(len(body)) + body


def puback(packet_id: bytes) -> bytes:
    """PUBACK (3.4) of the two bytes of a packet id."""
    return b"\x40\x02" + packet_id


def body(data: bytes, position: int) -> tuple[int, int] | None:
    """Start and end of the body of the packet at `position`; None if incomplete.

    Raises:
        MalformedError: if its length has more digits than there may be.
    """
    length = 0
    for index, digit in enumerate(data[position + 1 : position + 1 + _LENGTH_DIGITS]):
        length |= (digit & 0x7F) << 7 * index
        if not digit & 0x80:
            start = position + 2 + index
            return (start, start + length) if len(data) >= start + length else None
        if index == _LENGTH_DIGITS - 1:
            raise MalformedError
    return None


def number(body: bytes) -> int:
    """The two bytes at its beginning: of PUBACK and SUBACK the packet id.

    Raises:
        MalformedError: if it is shorter.
    """
    if len(body) < _NUMBER_BYTES:
        raise MalformedError
    return body[0] << 8 | body[1]


def read_publish(head: int, body: bytes) -> Publish:
    """Read a PUBLISH (3.3) from its first byte and its body; raises MalformedError."""
    topic_end = 2 + int.from_bytes(body[:2], "big")
    payload = topic_end + (2 if head & 0x06 else 0)
    if len(body) < payload:
        raise MalformedError
    return Publish(body[2:topic_end], body[topic_end:payload], body[payload:])


def _prefixed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _length(number: int) -> bytes:
    """The remaining length (2.2.3)."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | 0x80 if number else digit)
        if not number:
            return bytes(digits)
