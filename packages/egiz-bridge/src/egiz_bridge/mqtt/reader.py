"""Cuts what the socket gives into packets; no input or output here."""

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


class PacketReader:
    """Cuts what the socket gives into packets."""

    def __init__(self, version: int, maximum_packet_bytes: int) -> None:
        self._has_properties = version == MQTT_5
        self._maximum = maximum_packet_bytes
        self._rest = b""

    def feed(self, data: bytes) -> tuple[list[Publish], list[Control]]:
        """Add the bytes of one read; return the packets that are complete.

        Raises:
            MqttError: if they are not MQTT.
        """
        if self._rest:
            data = self._rest + data
        messages: list[Publish] = []
        others: list[Control] = []
        start = 0
        while (span := _body(data, start)) is not None:
            body, end = span
            if end > len(data):
                self._refuse_larger(end - start)
                break
            first = data[start]
            if first >> 4 == PUBLISH:
                messages.append(self._publish(data, first & 0x0F, body, end))
            else:
                others.append(Control(first >> 4, data[body:end]))
            start = end
        self._rest = data[start:]
        return messages, others

    def _refuse_larger(self, size: int) -> None:
        if size > self._maximum:
            raise MqttError(f"the broker sent a packet of {size} bytes")

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
