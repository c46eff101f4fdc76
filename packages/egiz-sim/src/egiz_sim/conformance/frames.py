"""Packets of MQTT 3.1.1, read as they pass between a device and its broker.

`egiz_sim.packets` writes what a publisher needs. Here are those of a subscriber, and
all that says how a device behaves. Section numbers are those of the OASIS standard.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from egiz_sim import packets

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGRESP, DISCONNECT = 8, 9, 13, 14
REFUSED = 0x80  # in a SUBACK (3.9.3)
KEEPALIVE_S = 30

_LEVEL = 4  # of MQTT 3.1.1 (3.1.2.2)


class Unreadable(Exception):
    """The bytes are no MQTT 3.1.1; the message says what they are."""


class Packet(NamedTuple):
    """One packet: its type, the four bits beside it, and the rest."""

    type: int
    flags: int
    body: bytes


class Will(NamedTuple):
    """The last will of a CONNECT."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool


class Connect(NamedTuple):
    """What a client says of itself."""

    client_id: str
    is_clean: bool
    will: Will | None


class Publish(NamedTuple):
    """A message; `packet_id` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool
    is_dup: bool
    packet_id: int


class Stream:
    """Packets out of the bytes of one direction."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole with `data`; raises Unreadable."""
        data = self._rest + data
        position = 0
        while (found := _body(data, position)) is not None:
            start, end = found
            yield Packet(data[position] >> 4, data[position] & 0x0F, data[start:end])
            position = end
        self._rest = data[position:]


def _body(data: bytes, position: int) -> tuple[int, int] | None:
    try:
        return packets.body(data, position)
    except packets.MalformedError:
        raise Unreadable("no MQTT: a length has more than four bytes") from None


class _Fields:
    """The fields of a body, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def data(self) -> bytes:
        return self._bytes(self.number(2))

    def text(self) -> str:
        return self.data().decode(errors="replace")

    def rest(self) -> bytes:
        return self._bytes(len(self._body) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._body)

    def _bytes(self, size: int) -> bytes:
        found = self._body[self._at : self._at + size]
        if len(found) < size:
            raise Unreadable("no MQTT 3.1.1: a packet is shorter than it says")
        self._at += size
        return found


def read_connect(packet: Packet) -> Connect:
    """Read CONNECT (3.1)."""
    # The first byte of TLS has the type of CONNECT, and flags, which CONNECT has not.
    if packet.type != CONNECT or packet.flags:
        raise Unreadable("no MQTT in clear (is it TLS?)")
    fields = _Fields(packet.body)
    name, level, flags = fields.data(), fields.number(1), fields.number(1)
    if name != b"MQTT" or level != _LEVEL:
        raise Unreadable(f"MQTT of level {level}, not 3.1.1, which has 4")
    fields.number(2)  # keep alive
    client_id = fields.text()
    will = None
    if flags & 0x04:
        topic, payload = fields.text(), fields.data()
        will = Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20))
    return Connect(client_id, bool(flags & 0x02), will)


def read_connack(packet: Packet) -> tuple[bool, int]:
    """Whether the session was kept, and the code, of CONNACK of any version (3.2)."""
    fields = _Fields(packet.body)
    return bool(fields.number(1) & 1), fields.number(1)


def read_publish(packet: Packet) -> Publish:
    """Read PUBLISH (3.3)."""
    fields = _Fields(packet.body)
    qos = packet.flags >> 1 & 3
    topic = fields.text()
    packet_id = fields.number(2) if qos else 0
    is_retained, is_dup = bool(packet.flags & 1), bool(packet.flags & 8)
    return Publish(topic, fields.rest(), qos, is_retained, is_dup, packet_id)


def read_subscribe(packet: Packet) -> list[tuple[str, int]]:
    """Filters and QoS of SUBSCRIBE (3.8)."""
    fields = _Fields(packet.body)
    fields.number(2)
    found = []
    while fields:
        found.append((fields.text(), fields.number(1)))
    return found


def read_id(packet: Packet) -> int:
    """The packet id of a PUBACK or SUBACK."""
    return _Fields(packet.body).number(2)


def connect(client_id: str, username: str | None, password: str | None) -> bytes:
    """CONNECT with a clean session and no last will."""
    flags, fields = 0x02, [client_id.encode()]
    if username is not None:
        flags |= 0x80
        fields.append(username.encode())
        if password is not None:
            flags |= 0x40
            fields.append(password.encode())
    body = _field(b"MQTT") + struct.pack("!BBH", _LEVEL, flags, KEEPALIVE_S)
    return _packet(CONNECT << 4, body + b"".join(map(_field, fields)))


def publish(packet_id: int, topic: str, payload: bytes, *, retain: bool) -> bytes:
    """PUBLISH at QoS 1."""
    body = _field(topic.encode()) + packet_id.to_bytes(2, "big") + payload
    return _packet(PUBLISH << 4 | 0x02 | retain, body)


def subscribe(packet_id: int, filters: tuple[str, ...]) -> bytes:
    """SUBSCRIBE at QoS 1."""
    body = packet_id.to_bytes(2, "big")
    body += b"".join(_field(each.encode()) + b"\x01" for each in filters)
    return _packet(SUBSCRIBE << 4 | 0x02, body)


def puback(packet_id: int) -> bytes:
    """PUBACK."""
    return _packet(PUBACK << 4, packet_id.to_bytes(2, "big"))


def _field(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([first])
    while length > 0x7F:  # noqa: PLR2004  # seven bits a byte (2.2.3)
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + body
