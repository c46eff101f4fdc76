"""From PUBLISH packets to batches: decode, map, sort out what cannot be written."""

import time
from collections.abc import Callable, Sequence

import structlog
from egiz_schema import EgizError, decode, influx, parse_topic

from egiz_bridge.accounts import Accounts, Verdicts
from egiz_bridge.batch import Batch, DeadLetter, Message, Row
from egiz_bridge.mqtt import Publish

BATCH_MESSAGES = 1000
LINGER_S = 0.25

# How much may wait for the sinks before QoS 0 is left out. Nothing is promised of it,
# and nothing but this bounds it: only QoS 1 has a window.
QOS0_WAITING_MAX = 20_000

# A fault is logged once for a device and reason. A flood of invented devices must not
# grow the process: past this many, they are only counted.
_LOGGED_MAX = 10_000

_log = structlog.get_logger()


class Intake:
    """Fills a batch and hands it on when it is full or has lingered."""

    def __init__(self, accounts: Accounts, dispatch: Callable[[Batch], None]) -> None:
        self._accounts = accounts
        self._dispatch = dispatch
        self._logged: set[tuple[str, str]] = set()
        self._begin(0)

    def reconnected(self, connection: int) -> None:
        """Keep messages of two connections apart: packet ids belong to one."""
        self.flush()
        self._begin(connection)

    def take(self, packets: Sequence[Publish], waiting: int) -> None:
        """Sort the messages of one read into batches.

        Args:
            packets: what was read.
            waiting: how many messages wait for the sinks already.
        """
        while packets:
            room = BATCH_MESSAGES - self._size
            self._fill(packets[:room], waiting)
            packets = packets[room:]
            if self._size == BATCH_MESSAGES:
                self.flush()

    def due_in_s(self) -> float:
        """Seconds until the batch has lingered for long enough; 0 if it has."""
        return max(0.0, self._due - time.monotonic()) if self._size else LINGER_S

    def flush(self) -> None:
        """Hand on what there is."""
        if self._size:
            batch = self._batch
            self._begin(batch.connection)
            self._dispatch(batch)

    def _begin(self, connection: int) -> None:
        self._batch = Batch(connection)
        self._size = 0
        self._due = 0.0

    def _fill(self, packets: Sequence[Publish], waiting: int) -> None:
        verdicts = Verdicts()
        received_ms = time.time_ns() // 1_000_000
        for packet in packets:
            if packet.packet_id:
                self._batch.packet_ids.append(packet.packet_id)
            elif waiting > QOS0_WAITING_MAX:
                verdicts.skipped["qos0_overload"] += 1
                continue
            topic = packet.topic.decode(errors="replace")
            self._sort(Message(topic, packet.payload, received_ms), packet, verdicts)
        self._accounts.receive(len(packets), verdicts)
        if not self._size:
            self._due = time.monotonic() + LINGER_S
        self._size += len(packets)

    def _sort(self, message: Message, packet: Publish, verdicts: Verdicts) -> None:
        try:
            row = to_row(message)
        except EgizError as fault:
            verdicts.rejected[fault.reason] += 1
            self._batch.rejects.append(DeadLetter(message, fault.reason, str(fault)))
            self._log_once(message.topic, fault)
            return
        if reason := _reason_to_skip(row, is_retained=packet.retain):
            verdicts.skipped[reason] += 1
        else:
            verdicts.accepted += 1
            self._batch.rows.append(row)

    def _log_once(self, topic: str, fault: EgizError) -> None:
        key = (_device_of(topic), fault.reason)
        if key in self._logged or len(self._logged) >= _LOGGED_MAX:
            return
        self._logged.add(key)
        _log.warning(
            "message rejected; further ones like it are only counted",
            topic=topic[:120],
            reason=fault.reason,
            detail=str(fault),
        )


def to_row(message: Message) -> Row:
    """Decode a message and map it.

    Raises:
        EgizError: if it is not a message of the contract.
    """
    topic = parse_topic(message.topic)
    decoded = decode(topic, message.payload)
    is_timed = getattr(decoded, "timestamp", None) is not None
    point = influx.to_point(topic, decoded, message.received_ms)
    return Row(message, point, is_timed)


def _reason_to_skip(row: Row, *, is_retained: bool) -> str | None:
    if row.point.kind in ("config", "command"):
        return f"{row.point.kind}_not_archived"
    if is_retained and not row.is_timed:
        # A last will kept by the broker: when the device went away is not known now.
        return "retained_untimed"
    return None


def _device_of(topic: str) -> str:
    """The device, or nothing for a topic that is not one of the contract's."""
    try:
        return str(parse_topic(topic).device_id)
    except EgizError:
        return ""
