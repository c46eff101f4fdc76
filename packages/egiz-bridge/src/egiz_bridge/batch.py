"""What flows through the bridge: messages, rows and batches."""

from dataclasses import dataclass, field
from sys import getsizeof
from typing import NamedTuple

import egiz_schema
from egiz_schema import decode, influx, parse_topic
from egiz_schema.limits import PAYLOAD_BYTES_MAX, TIMESTAMP_S

# How far ahead of ours the clock of a device may be.
AHEAD_MAX_MS = 300_000
# Before that, a clock was never set.
UNSET_MAX_MS = TIMESTAMP_S[0] * 1000
# The field that marks a time that is not the device's.
TIME_CORRECTED = "time_corrected"
# Of a dead letter beside its texts and its payload, about.
_OBJECTS_BYTES = 400


def own_time_ms(decoded: egiz_schema.Message) -> int | None:
    """The time that a message says; none of a last will, a config or a command."""
    timestamp: int | None = getattr(decoded, "timestamp", None)
    if timestamp is None:
        return None
    ms: int = decoded.ms  # type: ignore[union-attr]  # whatever has a timestamp has ms
    return timestamp * 1000 + ms


def is_wrong(time_ms: int, received_ms: int) -> bool:
    """Whether a time is further ahead than clocks may differ, or of no clock."""
    return not UNSET_MAX_MS <= time_ms <= received_ms + AHEAD_MAX_MS


class Message(NamedTuple):
    """A message as it came from the broker; what the spool keeps of it."""

    topic: str
    payload: bytes
    received_ms: int  # milliseconds since 1970

    def point(self) -> influx.Point:
        """What a database stores of it.

        A time that is too far ahead, or of a clock that was never set, is replaced by
        that of the receipt, and the point says so: it would otherwise be the newest of
        its device for months, or be lost among those of 1970.

        Raises:
            EgizError: it is not a message of the contract.
        """
        topic = parse_topic(self.topic)
        decoded = decode(topic, self.payload)
        point = influx.to_point(topic, decoded, self.received_ms)
        time_ms = own_time_ms(decoded)
        if time_ms is None or not is_wrong(time_ms, self.received_ms):
            return point
        fields = {**point.fields, TIME_CORRECTED: True}
        return point._replace(time_ms=self.received_ms, fields=fields)


class Row(NamedTuple):
    """A message of the contract, and its line of line protocol."""

    message: Message
    line: bytes


class DeadLetter(NamedTuple):
    """A message that will never be written, and why."""

    message: Message
    reason: str  # a reason code of egiz_schema, or "rejected" by a database
    detail: str
    missing: int = 0  # bytes of the payload that were not kept

    def cut(self) -> "DeadLetter":
        """With as much of the payload as is kept: what the contract allows."""
        message = self.message
        too_many = len(message.payload) - PAYLOAD_BYTES_MAX
        if too_many <= 0:
            return self
        kept = message._replace(payload=message.payload[:PAYLOAD_BYTES_MAX])
        return self._replace(message=kept, missing=self.missing + too_many)

    @property
    def memory_bytes(self) -> int:
        """What it takes while it waits in memory, about."""
        texts = (self.message.topic, self.message.payload, self.detail)
        return _OBJECTS_BYTES + sum(map(getsizeof, texts))


@dataclass(eq=False, slots=True)
class Batch:
    """Messages that are written, and acknowledged, together.

    Attributes:
        connection: which connection they came over; an ack never crosses to another.
        rows: what the sinks write; `rows_for` a sink, where they get different ones.
        rejects: what did not decode, and is not among the dead letters yet (QoS 1).
        rejects_qos0: the same at QoS 0: nothing is promised, and nothing waits for it.
        rejects_bytes: what both take in memory.
        begun_s: when the first of them came, on the monotonic clock.
        packet_ids: what to acknowledge, in the order of receipt (QoS 1 only).
        writing: how many sinks have not stored the rows yet.
    """

    connection: int
    begun_s: float = 0.0
    rows: list[Row] = field(default_factory=list)
    rows_for: dict[str, list[Row]] = field(default_factory=dict)
    rejects: list[DeadLetter] = field(default_factory=list)
    rejects_qos0: list[DeadLetter] = field(default_factory=list)
    rejects_bytes: int = 0
    packet_ids: list[int] = field(default_factory=list)
    writing: int = 0

    def reject(self, letter: DeadLetter, packet_id: int | None) -> None:
        """Add a message that did not decode; what is not kept of it ends here."""
        kept = letter.cut()
        rejects = self.rejects if packet_id else self.rejects_qos0
        rejects.append(kept)
        self.rejects_bytes += kept.memory_bytes

    def forget_rows(self) -> None:
        """They are stored, and what remains may wait for a full disk."""
        self.rows, self.rows_for = [], {}

    @property
    def is_stored(self) -> bool:
        """Whether its messages may be acknowledged."""
        return not self.writing and not self.rejects
