"""From a message to its row; what a topic determines is computed once."""

from collections.abc import Sequence
from typing import NamedTuple

import egiz_schema
from egiz_schema import EgizError, Topic, influx, parse_topic
from egiz_schema.line_protocol import decode_line

from egiz_bridge.batch import (
    AHEAD_MAX_MS,
    UNSET_MAX_MS,
    DeadLetter,
    Message,
    Row,
    is_wrong,
    own_time_ms,
)
from egiz_bridge.ledger.devices import Device, Devices
from egiz_bridge.pipeline.internal import internal_error
from egiz_bridge.pipeline.route import Route, reason_to_skip, route_of
from egiz_bridge.sinks.sink import SinkTable

# A factory has few topics and many messages; a flood of invented ones is forgotten.
_SOURCES_MAX = 65536


class Source(NamedTuple):
    """A topic, and what is known of whatever comes from there.

    Attributes:
        text: the topic as it is in a message.
        not_wanted: why no sink wants it; nothing if one does.
        device: the counts of the device.
    """

    text: str
    topic: Topic
    not_wanted: str | None
    device: Device


class Sources:
    """The sources so far, by the bytes of their topic."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._routes: list[Route] = []
        self._known: dict[bytes, Source] = {}

    def configure(self, tables: Sequence[SinkTable]) -> None:
        """Use the routes of these sinks."""
        self._routes = [route_of(table) for table in tables]
        self._known.clear()

    def of(self, raw: bytes) -> Source:
        """The source of a topic.

        Raises:
            TopicError: it is not a topic of the contract.
        """
        try:
            return self._known[raw]
        except KeyError:
            return self._learn(raw)

    def _learn(self, raw: bytes) -> Source:
        text = raw.decode(errors="replace")
        topic = parse_topic(text)
        if len(self._known) >= _SOURCES_MAX:
            self._known.clear()
        not_wanted = reason_to_skip(self._routes, topic)
        source = Source(text, topic, not_wanted, self._devices.of(topic))
        self._known[raw] = source
        return source


def to_rows(messages: Sequence[Message]) -> tuple[list[Row], list[DeadLetter]]:
    """The rows of messages of the spool, and the dead letters of the others.

    A message that an older bridge accepted may be rejected now.
    """
    rows, dead = [], []
    for message in messages:
        try:
            rows.append(to_row(message))
        except EgizError as error:
            dead.append(DeadLetter(message, error.reason, str(error)))
        except Exception as error:  # noqa: BLE001  # a bug costs one message, not all
            dead.append(internal_error(message, error))
    return rows, dead


def to_row(message: Message) -> Row:
    """Decode a message of the spool once more, and map it.

    Raises:
        EgizError: if it is not a message of the contract.
    """
    topic = parse_topic(message.topic)
    decoded, line = decode_line(topic, message.payload, message.received_ms)
    return timed(message, decoded, line)


def timed(message: Message, decoded: egiz_schema.Message, line: bytes) -> Row:
    """A row at a time that can be: see `Message.point`."""
    time_ms = own_time_ms(decoded)
    if time_ms is not None and is_wrong(time_ms, message.received_ms):
        return Row(message, influx.to_line(message.point()))
    return Row(message, line)


def corrected_ms(
    device: Device, decoded: egiz_schema.Message, time_ms: int, received_ms: int
) -> int:
    """The receipt to keep of a message whose time is wrong: its point's time.

    `Message.point` replaces the time by the receipt, and what is kept is all that a
    replay knows.
    """
    if time_ms < UNSET_MAX_MS:
        is_buffered = getattr(decoded, "buffered", False)
        return device.shift.unset_ms(time_ms, received_ms, is_buffered=is_buffered)
    return device.shift.corrected_ms(time_ms, received_ms, AHEAD_MAX_MS)
