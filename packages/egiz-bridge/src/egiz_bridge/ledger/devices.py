"""What is known of each device: what it lost or repeated, and how its clock goes.

A message says which it is: (device, boot, seq), where `seq` counts up from the boot on.
So what is missing is known to be missing, even if it was lost before the broker.
"""

import threading
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from egiz_schema import Message, Status, Telemetry, Topic
from egiz_schema.limits import TIMESTAMP_S

from egiz_bridge.ledger.clock import Shift
from egiz_bridge.ledger.gaps import Gaps
from egiz_bridge.ledger.latency import Latencies

# A flood of invented devices must not grow the process: past this many, further ones
# are counted together.
DEVICES_MAX = 50_000
# What is expected of a device: a message within that time.
STALE_MS = 60_000
# A clock that differs by as much from ours is drifting.
DRIFTING_MS = 60_000
# What a device is that has gone to install a release, and says no more for a while.
_UPDATING = "updating"


class Update(NamedTuple):
    """How far an update of the firmware is, and since when, as the device says."""

    state: str
    version: str
    error: str
    since_ms: int


@dataclass(slots=True)
class _Boot:
    """The messages of a device since one of its boots."""

    number: int
    highest: int
    missing: Gaps | None = None  # of most devices, there is none


@dataclass(slots=True)
class Device:
    """Counts are messages, and begin with the run of the bridge.

    Attributes:
        missing: not there (yet); shrinks when they come late.
        dropped_readings: wrong ones, of messages that are stored without them.
        clock_skew_ms: receipt minus the device's time, of its last live message.
        update: of its last status that says anything about it.
    """

    last_received_ms: int = 0
    messages: int = 0
    missing: int = 0
    duplicates: int = 0
    late: int = 0
    buffered: int = 0
    reboots: int = 0
    dropped_readings: int = 0
    clock_skew_ms: int = 0
    update: Update | None = None
    _boot: _Boot | None = None
    _boot_before: _Boot | None = None
    _shift: Shift | None = None
    _untimed_ms: int = 0

    @property
    def shift(self) -> Shift:
        """By how much its clock is put back; made for the devices that need it."""
        if self._shift is None:
            self._shift = Shift()
        return self._shift

    def apart_ms(self, received_ms: int) -> int:
        """The receipt of a message without a time, and of no other one of the device.

        Two that are read at once would be one point.
        """
        self._untimed_ms = max(received_ms, self._untimed_ms + 1)
        return self._untimed_ms

    def enter_update(self, status: Status, at_ms: int) -> None:
        """Enter what a status says about an update; a last will says nothing."""
        ota = status.ota
        if ota is not None:
            state, version, error = ota.state, ota.version or "", ota.error or ""
        elif status.state == _UPDATING:
            state, version, error = _UPDATING, "", ""
        else:
            if status.timestamp is not None:
                self.update = None
            return
        before = self.update
        if before is None or (state, version) != (before.state, before.version):
            self.update = Update(state, version, error, at_ms)

    def count(self, boot: int, seq: int) -> None:
        """Enter which message it was."""
        now = self._boot
        if now is not None and boot == now.number:
            if seq == now.highest + 1:  # as nearly always
                now.highest = seq
            else:
                self._count_out_of_order(now, seq)
        elif now is None or boot > now.number:
            self._booted(boot, seq)
        elif self._boot_before is not None and boot == self._boot_before.number:
            self._count_out_of_order(self._boot_before, seq)
        else:
            self.late += 1

    def _booted(self, boot: int, seq: int) -> None:
        # Where the bridge comes in, nothing is missing: it was not there before.
        self.reboots += self._boot is not None
        self._boot_before, self._boot = self._boot, _Boot(boot, seq)

    def _count_out_of_order(self, boot: _Boot, seq: int) -> None:
        if seq > boot.highest:
            boot.missing = boot.missing or Gaps()
            boot.missing.add(boot.highest + 1, seq)
            self.missing += seq - boot.highest - 1
            boot.highest = seq
        elif boot.missing is not None and boot.missing.remove(seq):
            self.missing -= 1
            self.late += 1
        else:
            self.duplicates += 1


class KnownDevice(NamedTuple):
    """A device and what is known of it, for a reader."""

    facility: str
    device_id: str
    device: Device


class Devices:
    """All devices; one thread observes, others may read at any time."""

    def __init__(self) -> None:
        self._devices: dict[tuple[str, str], Device] = {}
        # Held to add a device, and to list them: a dictionary that grows meanwhile
        # cannot be listed.
        self._lock = threading.Lock()
        self._rest = Device()
        self.started_ms = time.time_ns() // 1_000_000
        self.event_to_receipt = Latencies()

    def observe(self, device: Device, message: Message, received_ms: int) -> None:
        """Enter a message of a device that was not retained."""
        device.last_received_ms = received_ms
        device.messages += 1
        if type(message) is Status:
            device.enter_update(message, received_ms)
        if type(message) is not Telemetry:
            return
        if message.boot is not None and message.seq is not None:
            device.count(message.boot, message.seq)
        if message.buffered:
            device.buffered += 1
            return
        if message.timestamp < TIMESTAMP_S[0]:
            return  # its clock was never set
        skew_ms = received_ms - message.timestamp * 1000 - message.ms
        device.clock_skew_ms = skew_ms
        self.event_to_receipt.observe(max(0.0, skew_ms / 1000))

    def seen(self) -> list[KnownDevice]:
        """Every device that is counted by itself."""
        with self._lock:
            items = list(self._devices.items())
        return [KnownDevice(*key, device) for key, device in items]

    def stale(self, now_ms: int) -> list[tuple[float, KnownDevice]]:
        """Devices without a message for a minute: seconds and device, longest first."""
        ages = ((now_ms - s.device.last_received_ms, s) for s in self.seen())
        found = [(ms / 1000, s) for ms, s in ages if ms > STALE_MS]
        return sorted(found, key=lambda pair: pair[0], reverse=True)

    def totals(self) -> Device:
        """Counts of all devices together."""
        total = Device()
        with self._lock:
            devices = [self._rest, *self._devices.values()]
        for device in devices:
            for name in _COUNTS:
                setattr(total, name, getattr(total, name) + getattr(device, name))
        return total

    def of(self, topic: Topic) -> Device:
        """The counts of the device of a topic; past a bound, of all others."""
        key = (topic.facility, topic.device_id)
        try:
            return self._devices[key]
        except KeyError:
            if len(self._devices) >= DEVICES_MAX:
                return self._rest
            device = Device()
            with self._lock:
                self._devices[key] = device
            return device


_COUNTS = (
    "messages",
    "missing",
    "duplicates",
    "late",
    "buffered",
    "reboots",
    "dropped_readings",
)

_SHOWN = ("last_received_ms", *_COUNTS, "clock_skew_ms")
_SHOWN_NAMES = ("facility", "device_id", *_SHOWN)
_read_shown = attrgetter(*_SHOWN)


def as_json(seen: KnownDevice) -> dict[str, Any]:
    """One device for `egiz-bridge devices`."""
    values = (seen.facility, seen.device_id, *_read_shown(seen.device))
    return dict(zip(_SHOWN_NAMES, values, strict=True))
