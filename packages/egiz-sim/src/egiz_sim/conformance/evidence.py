"""What was seen of a device, and what it was sent: all that a rule judges."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import msgspec
from egiz_schema import EgizError, Health, Status, Telemetry, Topic
from egiz_schema.codec import decode_with_shape

from egiz_sim.conformance import frames
from egiz_sim.conformance.proxy import Session

_RECENT = 3
_MARGIN_S = 0.3  # between a time of the device and one of this machine
_ALIKE_S = 0.05  # two times that may be one
_COARSE_S = 1.1  # of a device whose times are whole seconds


class NotTried(Exception):
    """A rule could not be tried; the message says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message, as a subscriber got it.

    Attributes:
        at: monotonic seconds.
        epoch: seconds since 1970.
        is_kept: the broker had retained it, and sent it at the subscription.
        message: what it says, whichever device it names; None if that is nothing.
    """

    at: float
    epoch: float
    topic: str
    payload: bytes
    qos: int
    is_kept: bool
    message: Telemetry | Status | None

    @property
    def kind(self) -> str:
        """The last level of the topic."""
        return self.topic.rpartition("/")[2]


def seen(publish: frames.Publish, at: float, epoch: float) -> Seen:
    """A message of a topic of the device."""
    kind = publish.topic.rpartition("/")[2]
    message = None
    if kind in {"telemetry", "status"}:
        with contextlib.suppress(EgizError):
            message = decode_with_shape(kind, publish.payload)[0]
    assert message is None or isinstance(message, Telemetry | Status)
    return Seen(
        at,
        epoch,
        publish.topic,
        publish.payload,
        publish.qos,
        publish.is_retained,
        message,
    )


@dataclass(slots=True)
class Order:
    """A config or command that was sent, and the status that answered it."""

    document: dict[str, Any]
    payload: bytes
    at: float
    answer: Seen | None = None

    @property
    def status(self) -> Status:
        """What answered; raises NotTried if nothing did."""
        if self.answer is None or not isinstance(self.answer.message, Status):
            raise NotTried("it was not answered, as another rule says")
        return self.answer.message


@dataclass(frozen=True, slots=True)
class Outage:
    """When the connection was cut, and when the device was back."""

    cut: float  # monotonic seconds
    back: float
    back_epoch: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Telemetry, with what names it."""

    seen: Seen
    message: Telemetry

    @property
    def time_s(self) -> float:
        """When it was measured, by the device's clock."""
        return self.message.timestamp + self.message.ms / 1000

    @property
    def is_set(self) -> bool:
        """Whether that clock was set, as far as it says."""
        return has_clock(self.message.status)

    @property
    def name(self) -> tuple[int | None, float]:
        """What names it for ever: boot and seq, or else its time."""
        if self.message.seq is None:
            return None, self.time_s
        return self.message.boot, self.message.seq


@dataclass(slots=True)
class Evidence:
    """All of it.

    Attributes:
        facility: of the topics.
        device_id: of the device.
        seen: what a subscriber got, in order.
        asked: when it was asked for what it retains at the end, in monotonic seconds.
        kept: what the broker had retained at the end.
        sessions: connections of the device through the proxy.
        orders: configs and commands that were sent, by a label.
        why_not: why an order, its kind, or another step was left out; "" is for all.
        outage: the one that was made, or None.
        rates: publish_rate_ms that was ordered, and the interval that followed.
    """

    facility: str
    device_id: str
    seen: list[Seen] = field(default_factory=list)
    asked: float = 0.0
    kept: list[Seen] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    outage: Outage | None = None
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)

    def topic(self, kind: str) -> str:
        """The topic of a kind, of this device."""
        return f"sensors/{self.facility}/{self.device_id}/{kind}"

    def parsed_topic(self, kind: Any) -> Topic:
        """The same, as a value."""
        return Topic(self.facility, self.device_id, kind)

    def order(self, label: str) -> Order:
        """What was sent; raises NotTried."""
        if label not in self.orders:
            raise NotTried(self.reason(label))
        return self.orders[label]

    def reason(self, label: str) -> str:
        """Why a step was left out."""
        group = label.partition(".")[0]
        reasons = [self.why_not.get(name) for name in (label, group, "")]
        return next(filter(None, reasons), "the check ended before")

    def readable(self) -> list[Session]:
        """The accepted connections of the device; raises NotTried."""
        found = [each for each in self.sessions if each.begun is not None]
        for session in found or self.sessions:  # others may try the port, too
            if session.unreadable:
                raise NotTried(f"the connection cannot be read: {session.unreadable}")
        if not found:
            raise NotTried("a subscriber does not see it; give --proxy-port")
        return found

    def sent(self) -> Iterator[tuple[Session, frames.Publish]]:
        """What the device published, as it published it; raises NotTried."""
        for session in self.readable():
            for message in session.sent:
                yield session, message

    def before(self, session: Session) -> list[Session]:
        """The accepted connections before one; raises NotTried."""
        found = self.readable()
        return found[: found.index(session)]

    def end_before(self, session: Session) -> float:
        """Seconds since 1970 when the connection before, which is one, had ended."""
        assert session.begun is not None
        ended = self.before(session)[-1].ended or session.begun
        return session.begun_epoch - (session.begun - ended)

    def live(self) -> list[Seen]:
        """What came while the check was subscribed."""
        return [each for each in self.seen if not each.is_kept]

    def statuses(self) -> list[tuple[Seen, Status]]:
        """Statuses of the device itself, not last wills.

        What was retained before is one of them where the device was there already: a
        device that is behind the proxy has connected since.
        """
        is_new = any(session.begun is not None for session in self.sessions)
        return [
            (each, each.message)
            for each in (self.live() if is_new else self.seen)
            if isinstance(each.message, Status) and each.message.state != "offline"
        ]

    def readings(self) -> list[Reading]:
        """All telemetry that came, in order; what was retained before is left out."""
        return [
            Reading(each, each.message)
            for each in self.live()
            if isinstance(each.message, Telemetry)
        ]

    def calm_statuses(self) -> list[tuple[Seen, Status]]:
        """Statuses of the time before the outage."""
        until = self._until_outage()
        return [each for each in self.statuses() if each[0].at < until]

    def calm(self) -> list[Reading]:
        """Telemetry of the time before the outage; raises NotTried."""
        until = self._until_outage()
        found = [each for each in self.readings() if each.seen.at < until]
        if len(found) < _RECENT:
            raise NotTried("too little telemetry came")
        return found

    def after_outage(self) -> list[Reading]:
        """Telemetry that came after it, before a reboot; raises NotTried."""
        if self.outage is None:
            raise NotTried(self.reason("outage"))
        reboot = self.orders.get("command.reboot")
        until = reboot.at if reboot else float("inf")
        return [
            each for each in self.readings() if self.outage.back <= each.seen.at < until
        ]

    def of_outage(self) -> list[Reading]:
        """Telemetry that was measured in the outage, as it says; raises NotTried."""
        calm = self.calm()
        before = {each.name for each in calm}
        if len(before) == 1:
            raise NotTried("no seq and no clock tell its readings from each other")
        found = [
            each
            for each in self.after_outage()
            if each.name not in before
            and (each.message.buffered or self.is_before_return(each))
        ]
        if not found:
            raise NotTried("nothing of the outage arrived, as another rule says")
        return found

    def is_before_return(self, reading: Reading) -> bool:
        """Whether it was measured before the device was connected again."""
        assert self.outage is not None
        margin = _MARGIN_S if self._has_ms() else _COARSE_S
        return self.epoch_of(reading) < self.outage.back_epoch - margin

    def cut_epoch(self) -> float:
        """Seconds since 1970 when the connection was cut."""
        assert self.outage is not None
        return self.outage.back_epoch - (self.outage.back - self.outage.cut)

    def is_after(self, reading: Reading, ended: float) -> bool:
        """Whether it was measured when the device may know of the end of a connection.

        Args:
            reading: of the device.
            ended: the end, in seconds since 1970.
        """
        margin = _MARGIN_S if self._has_ms() else _COARSE_S
        return self.epoch_of(reading) > ended + margin

    def after_return(self) -> float:
        """Seconds since 1970 when the device was connected again."""
        assert self.outage is not None
        return self.outage.back_epoch - _ALIKE_S

    def epoch_of(self, reading: Reading) -> float:
        """When it was measured, by the clock of this machine; raises NotTried."""
        calm = [each for each in self.calm() if each.is_set == reading.is_set]
        if not calm:
            raise NotTried("its clock was set, or lost, meanwhile")
        return reading.time_s + median(r.seen.epoch - r.time_s for r in calm)

    def counts_by_one(self) -> bool:
        """Whether `seq` says whether something is missing."""
        numbers = numbers_of(self.calm())
        return bool(numbers) and numbers == list(range(numbers[0], numbers[-1] + 1))

    def missing(self) -> set[int]:
        """`seq` of those before the newest that have not come; raises NotTried."""
        numbers = numbers_of([*self.calm(), *self.after_outage()])
        return set(range(numbers[0], numbers[-1] + 1)) - set(numbers)

    def is_whole(self) -> bool:
        """Whether each reading of the outage has come, as `seq` says."""
        try:
            return self.counts_by_one() and not self.missing()
        except NotTried:
            return False

    def _until_outage(self) -> float:
        return self.outage.back if self.outage else float("inf")

    def _has_ms(self) -> bool:
        return any(each.message.ms for each in self.readings())


def numbers_of(readings: Sequence[Reading]) -> list[int]:
    """The `seq` of the last boot among them, sorted, each once."""
    return sorted(
        {
            each.message.seq
            for each in readings
            if each.message.seq is not None
            and each.message.boot == readings[-1].message.boot
        }
    )


def has_clock(health: Health | None) -> bool:
    """Whether the clock of a device is set, as far as it says."""
    return health is None or health.time_synced is not False


def members(payload: bytes) -> dict[str, Any]:
    """Of a payload that is a JSON object; none of any other."""
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        document = msgspec.json.decode(payload)
        if isinstance(document, dict):
            return document
    return {}


def without_time(status: Status) -> Status:
    """A status without what differs between two that say the same."""
    return msgspec.structs.replace(status, timestamp=None, ms=0, health=None)
