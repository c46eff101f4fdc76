"""From PUBLISH packets to batches: decode, map, sort out what cannot be written."""

import time
from collections.abc import Callable, Sequence

import structlog
from egiz_schema import (
    Dropped,
    EgizError,
    MalformedPayload,
    Status,
    decode,
    explain,
    parse_topic,
)
from egiz_schema.line_protocol import decode_line_with_dropped

from egiz_bridge.batch import (
    Batch,
    DeadLetter,
    Message,
    Row,
    is_wrong,
    own_time_ms,
)
from egiz_bridge.ledger.counts import Ledger, Verdicts
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.mqtt.connection import RECEIVE_MAXIMUM
from egiz_bridge.mqtt.packets import DUP, RETAIN, Publish
from egiz_bridge.pipeline.internal import INTERNAL, internal_error
from egiz_bridge.pipeline.rows import (
    Source,
    Sources,
    corrected_ms,
    timed,
    to_row,
)
from egiz_bridge.pipeline.window import Window
from egiz_bridge.printable import printable
from egiz_bridge.sinks.sink import SinkTable

BATCH_MESSAGES = 1000
LINGER_S = 0.25
# Rejects may be large, and wait in memory: with so many bytes, a batch is full.
REJECTS_BYTES = 1024**2

# How much may wait for the sinks before QoS 0 is left out. Nothing is qos1 of it,
# and nothing but this bounds it: only QoS 1 has a window.
QOS0_WAITING_MAX = 20_000

# A rejected message is logged once for a device and reason. A flood of invented devices
# must not grow the process: past this many, they are only counted.
_LOGGED_MAX = 10_000

WINDOW_IS_SMALL = (
    "the broker leaves few messages unacknowledged, which bounds the rate: raise"
    " max_inflight_messages (Mosquitto, VerneMQ), mqtt.prefetch (RabbitMQ),"
    " mqtt.max_inflight (EMQX) or max_ack_pending of mqtt (NATS); HiveMQ CE: always 50"
)

_log = structlog.get_logger()


class Intake:
    """Fills a batch and hands it on when it is full or has lingered."""

    def __init__(
        self,
        ledger: Ledger,
        devices: Devices,
        dispatch: Callable[[Batch], None],
    ) -> None:
        self._devices = devices
        self._sources = Sources(devices)
        self._ledger = ledger
        self._dispatch = dispatch
        self._logged: set[tuple[str, str]] = set()
        self._window = Window()
        self._limit = 0
        self._limited_log = RateLimitedLog()
        self._begin(0)

    def configure(self, tables: Sequence[SinkTable]) -> None:
        """Accept what these sinks want."""
        self.flush()
        self._sources.configure(tables)

    def reconnected(self, connection: int) -> None:
        """Keep messages of two connections apart: packet ids belong to one."""
        self.flush()
        self._begin(connection)
        self._window = Window()
        self._limit_changed()

    def receive(self, packets: Sequence[Publish], waiting: int) -> None:
        """Sort the messages of one read into batches.

        Args:
            packets: what was read.
            waiting: how many messages wait for the sinks already.
        """
        while packets:
            room = BATCH_MESSAGES - self._size
            self._fill(packets[:room], waiting)
            packets = packets[room:]
            has_many_bytes = self._batch.rejects_bytes >= REJECTS_BYTES
            if self._size == BATCH_MESSAGES or has_many_bytes:
                self.flush()

    @property
    def window_is_small(self) -> bool:
        """Whether the broker was seen to wait for an acknowledgement."""
        return self._window.is_known

    def due_in_s(self) -> float:
        """Seconds until the batch is to be handed on; 0: now, inf: there is none."""
        if not self._size:
            return float("inf")
        if self._window.is_full:
            return 0.0
        return max(0.0, self._due - time.monotonic())

    def flush_if_due(self) -> None:
        """Hand on a batch that has lingered, or after which the broker waits."""
        if self.due_in_s() > 0:
            return
        now_s = time.monotonic()
        if self._size and now_s >= self._due:
            self._window.lingered(now_s)
        self.flush()

    def acknowledged(self, count: int) -> None:
        """The broker got PUBACKs for so many messages."""
        self._window.acknowledged(count, time.monotonic())

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
        batch = self._batch
        verdicts = Verdicts()
        received_ms = time.time_ns() // 1_000_000
        for topic, payload, packet_id, flags, missing in packets:
            if packet_id:
                batch.packet_ids.append(packet_id)
                verdicts.qos1 += 1
                if flags & DUP:
                    verdicts.redelivered += 1
            elif waiting > QOS0_WAITING_MAX:
                verdicts.skipped["qos0_overload"] += 1
                continue
            try:
                if missing:
                    _refuse(len(payload) + missing)
                row = self._row(topic, payload, received_ms, flags)
            except Skipped as skipped:
                verdicts.skipped[skipped.reason] += 1
            except EgizError as error:
                verdicts.rejected[error.reason] += 1
                text = topic.decode(errors="replace")
                message = Message(text, payload, received_ms)
                letter = self._letter(message, error)
                batch.reject(letter._replace(missing=missing), packet_id)
            except Exception as error:  # noqa: BLE001  # a bug costs one message, not all
                verdicts.rejected[INTERNAL] += 1
                text = topic.decode(errors="replace")
                message = Message(text, payload, received_ms)
                batch.reject(internal_error(message, error), packet_id)
            else:
                batch.rows.append(row)
        self._count(len(packets), verdicts)

    def _count(self, packets: int, verdicts: Verdicts) -> None:
        verdicts.accepted = packets - verdicts.others()
        self._ledger.receive(packets, verdicts)
        now_s = time.monotonic()
        self._window.received(verdicts.qos1, now_s)
        if self._window.limit != self._limit:
            self._limit_changed()
        if not self._size:
            self._batch.begun_s = now_s
            self._due = self._batch.begun_s + LINGER_S
        self._size += packets

    def _limit_changed(self) -> None:
        self._limit = self._window.limit
        self._ledger.window_is(self._limit)
        if self._limit and (times := self._limited_log.due("window")):
            _log.warning(
                WINDOW_IS_SMALL,
                messages=self._limit,
                asked=RECEIVE_MAXIMUM,
                times=times,
            )

    def _letter(self, message: Message, error: EgizError) -> DeadLetter:
        self._log_once(message.topic, error)
        return DeadLetter(message, error.reason, str(error))

    def _row(self, raw: bytes, payload: bytes, received_ms: int, flags: int) -> Row:
        if not payload:
            # Clears a retained message; the broker may pass it on without the flag.
            raise Skipped("cleared")
        source = self._sources.of(raw)
        if source.not_wanted:
            decode(source.topic, payload)
            raise Skipped(source.not_wanted)
        decoded, line, dropped = decode_line_with_dropped(
            source.topic, payload, received_ms
        )
        time_ms = own_time_ms(decoded)
        if not flags & RETAIN:
            self._devices.observe(source.device, decoded, received_ms)
        elif time_ms is None:
            # A last will kept by the broker: when the device went away is not known.
            raise Skipped("retained_untimed")
        elif type(decoded) is Status:
            # A device that went to update itself before the bridge was there.
            source.device.enter_update(decoded, min(time_ms, received_ms))
        if dropped:
            self._count_dropped(source, dropped)
        if time_ms is None:
            apart_ms = source.device.apart_ms(received_ms)
            if apart_ms != received_ms:
                return to_row(Message(source.text, payload, apart_ms))
        elif is_wrong(time_ms, received_ms):
            received_ms = corrected_ms(source.device, decoded, time_ms, received_ms)
            return timed(Message(source.text, payload, received_ms), decoded, line)
        return Row(Message(source.text, payload, received_ms), line)

    def _count_dropped(self, source: Source, dropped: Sequence[Dropped]) -> None:
        """Count the readings that are wrong; the rest of the message is stored."""
        self._ledger.drop_readings(part.reason for part in dropped)
        source.device.dropped_readings += len(dropped)
        for path, reason in dropped:
            if self._is_new((source.text, f"{path} {reason}")):
                _log.warning(
                    "reading dropped, the rest of the message is stored; further ones"
                    " like it are only counted",
                    topic=source.text,
                    path=printable(path),
                    reason=reason,
                )

    def _is_new(self, key: tuple[str, str]) -> bool:
        if key in self._logged or len(self._logged) >= _LOGGED_MAX:
            return False
        self._logged.add(key)
        if len(self._logged) == _LOGGED_MAX:
            _log.warning(
                "wrong messages and readings are not logged one by one any more:"
                " they are counted, and `egiz-bridge dlq list` has the messages",
                logged=_LOGGED_MAX,
            )
        return True

    def _log_once(self, topic: str, error: EgizError) -> None:
        if not self._is_new((_device_of(topic), error.reason)):
            return
        _log.warning(
            "message rejected; further ones like it are only counted",
            topic=printable(topic),
            reason=error.reason,
            detail=str(error),
        )


class Skipped(Exception):  # it is no error
    """A message of the contract that is not to be stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _refuse(size: int) -> None:
    """Refuse a message that was read past, in the codec's words."""
    raise MalformedPayload(f"{size} bytes; {explain('too_large')}", "too_large")


def _device_of(topic: str) -> str:
    """The device, or nothing for a topic that is not one of the contract's."""
    try:
        return str(parse_topic(topic).device_id)
    except EgizError:
        return ""
