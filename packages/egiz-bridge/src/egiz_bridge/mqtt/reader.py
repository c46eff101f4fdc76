"""Cuts what the socket gives into packets; no input or output here."""

from egiz_schema import limits

from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt.packets import (
    MQTT_5,
    PUBLISH,
    QOS,
    TOP_BIT,
    Control,
    Publish,
    varint,
)

# Of a PUBLISH that is too large: the longest topic, lengths, and what a dead letter
# keeps of a payload. Properties may take the place of the latter.
HEAD_BYTES = 65_536 + 1024 + limits.PAYLOAD_BYTES_MAX


class PacketReader:
    """Cuts what the socket gives into packets.

    A PUBLISH that is larger than the maximum is read past: its head is kept, and the
    rest is dropped as it comes. Only MQTT 5 lets a subscriber refuse it beforehand.
    """

    def __init__(self, version: int, maximum_packet_bytes: int) -> None:
        self._has_properties = version == MQTT_5
        self._maximum = maximum_packet_bytes
        self._rest = b""
        self._to_drop = 0  # of the large packet whose head is `_large`
        self._large: Publish | None = None

    def feed(self, data: bytes) -> tuple[list[Publish], list[Control]]:
        """Add the bytes of one read; return the packets that are complete.

        Raises:
            MqttError: if they are not MQTT.
        """
        messages: list[Publish] = []
        others: list[Control] = []
        start = self._read_past(data, messages) if self._large else 0
        if self._rest:
            data = self._rest + data
        while (span := _body(data, start)) is not None:
            body, end = span
            if end > len(data):
                if end - start > self._maximum:
                    start = self._begin_large(data, start, span)
                break
            first = data[start]
            if first >> 4 == PUBLISH:
                messages.append(self._publish(data, first & 0x0F, body, end))
            else:
                others.append(Control(first >> 4, data[body:end]))
            start = end
        self._rest = data[start:]
        return messages, others

    def _begin_large(self, data: bytes, start: int, span: tuple[int, int]) -> int:
        """Keep the head of a large packet, once that is there; drop what has come.

        Gives where the next one begins, if this has begun to be dropped.
        """
        body, end = span
        if data[start] >> 4 != PUBLISH:
            raise MqttError(f"the broker sent a packet of {end - start} bytes")
        if len(data) - start < HEAD_BYTES:
            return start
        message = self._publish(data, data[start] & 0x0F, body, end)
        kept = message.payload[: limits.PAYLOAD_BYTES_MAX]
        missing = len(message.payload) - len(kept) + end - len(data)
        self._large = message._replace(payload=kept, missing=missing)
        self._to_drop = end - len(data)
        return len(data)

    def _read_past(self, data: bytes, messages: list[Publish]) -> int:
        """Drop what belongs to the large packet; gives where the next one begins."""
        dropped = min(self._to_drop, len(data))
        self._to_drop -= dropped
        if not self._to_drop and self._large:
            messages.append(self._large)
            self._large = None
        return dropped

    def _publish(self, data: bytes, flags: int, start: int, end: int) -> Publish:
        """PUBLISH (3.3). Subscribed at QoS 1, it is never sent at QoS 2."""
        name = start + 2
        try:
            position = name + (data[start] << 8 | data[start + 1])
            topic = data[name:position]
            packet_id = 0
            if flags & QOS:
                packet_id = data[position] << 8 | data[position + 1]
                position += 2
            if self._has_properties:
                length = data[position]
                position += 1
                if length:
                    length, position = varint(data, position - 1)
                    position += length
        except IndexError:
            position = end + 1
        if position > end:
            raise MqttError("the broker sent a PUBLISH without all its parts")
        return Publish(topic, data[position:end], packet_id, flags)


def _body(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the body of the packet at `start` begins and ends, if its head is there."""
    try:
        # Two bytes of length, as of nearly all messages, without a loop.
        length, body = data[start + 1], start + 2
        if length >= TOP_BIT:
            more, body = data[body], body + 1
            if more < TOP_BIT:
                length += (more << 7) - TOP_BIT
            else:
                length, body = varint(data, start + 1)
    except IndexError:
        return None
    return body, body + length
