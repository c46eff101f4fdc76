"""Packets of MQTT 3.1.1: what a publisher writes, and what it reads.

Section numbers are those of the OASIS standard, MQTT Version 3.1.1.
"""

import struct

KEEPALIVE_S = 30
CONNACK, PUBACK = 0x20, 0x40
DUP = 0x08
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

_PUBLISH_QOS1_RETAINED = 0x33
_LENGTH_DIGITS = 4  # 2.2.3


def connect(
    client_id: str, will: tuple[str, bytes], username: str | None, password: str | None
) -> bytes:
    """CONNECT (3.1): clean session, last will (topic, payload) at QoS 1, retained."""
    flags = 0x02 | 0x04 | 0x08 | 0x20
    fields = [client_id.encode(), will[0].encode(), will[1]]
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
    """PUBLISH (3.3) at QoS 1, retained; `flags` is 0 or DUP."""
    body = _prefixed(topic.encode()) + packet_id.to_bytes(2, "big") + payload
    return bytes([_PUBLISH_QOS1_RETAINED | flags]) + _length(len(body)) + body


def body(data: bytes, position: int) -> tuple[int, int] | None:
    """Start and end of the body of the packet at `position`; None if incomplete."""
    length = 0
    for index, digit in enumerate(data[position + 1 : position + 1 + _LENGTH_DIGITS]):
        length |= (digit & 0x7F) << 7 * index
        if not digit & 0x80:
            start = position + 2 + index
            return (start, start + length) if len(data) >= start + length else None
    return None


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
