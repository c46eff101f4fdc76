"""The ledger of the bridge: where every message is, at every instant.

    received = accepted + rejected + skipped
    restored + accepted = in flight + written + spooled + dead + expired + set aside

The second holds for each sink. A message moves from one count to another under one
lock, so that a reader never sees it in two of them or in none. Messages that an earlier
run left in the spool count as restored.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from egiz_bridge.batch import Batch
from egiz_bridge.incidents import Incidents
from egiz_bridge.ledger.latency import Latencies

_NOT_YET = "has not answered yet"


@dataclass(slots=True)
class SinkCounts:
    """Messages of one sink; all but `in_flight` and `spooled` only grow.

    Attributes:
        receipt_to_written: how long messages needed.
        requests: how long write requests took, also those that failed.
        partial: those of `written` that were stored without a field it refused.
        expired: waited in the spool for longer than `spool.max_age_days`.
        set_aside: were in a part of the spool that was damaged, or were not stored when
            the sink was removed.
        trouble: why the sink accepts no writes; empty while it does.
        is_removed: from the configuration, by a reload.
        is_restored: whether what an earlier run left in the spool is counted.
        incidents: what happened to its file, if it has one.
    """

    restored: int = 0
    accepted: int = 0
    in_flight: int = 0
    written: int = 0
    partial: int = 0
    spooled: int = 0
    dead: int = 0
    expired: int = 0
    set_aside: int = 0
    receipt_to_written: Latencies = field(default_factory=Latencies)
    requests: Latencies = field(default_factory=Latencies)
    trouble: str = _NOT_YET
    is_removed: bool = False
    is_restored: bool = False
    incidents: Incidents = field(default_factory=Incidents)

    @property
    def is_up(self) -> bool:
        """Whether the sink accepts writes, as far as is known."""
        return not self.trouble

    @property
    def unaccounted(self) -> int:
        """Messages that are in no count: 0, or the bridge has a bug."""
        counted = self.in_flight + self.written + self.spooled + self.dead
        counted += self.expired + self.set_aside
        return self.restored + self.accepted - counted


@dataclass(slots=True)
class Counts:
    """All counts at one instant, in messages.

    Attributes:
        readings_dropped: wrong readings of messages that are stored without them.
        connection_trouble: why the bridge is not subscribed, if an attempt has failed.
        dead_letters_waiting: not of the contract, and not on the disk yet.
        dead_letters_lost: those of QoS 0 that the disk did not accept in time.
        dead_letters_trouble: why the disk accepts none; empty while it does.
        spool_troubles: why the spool accepts nothing, by who wanted it to.
    """

    sinks: dict[str, SinkCounts]
    received: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    readings_dropped: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    redelivered: int = 0
    connections: int = 0
    sessions_lost: int = 0
    receipt_to_ack: Latencies = field(default_factory=Latencies)
    loop_turns: Latencies = field(default_factory=Latencies)
    unacknowledged: int = 0
    window: int = 0
    is_connected: bool = False
    connection_trouble: str = ""
    dead_letters_waiting: int = 0
    dead_letters_lost: int = 0
    dead_letters_trouble: str = ""
    spool_troubles: dict[str, str] = field(default_factory=dict)

    @property
    def unaccounted(self) -> int:
        """Messages that are in no count: 0, or the bridge has a bug."""
        counted = self.accepted + self.rejected.total() + self.skipped.total()
        return self.received - counted


@dataclass(slots=True)
class Verdicts:
    """What became of the messages of one read.

    Attributes:
        qos1: how many are to be acknowledged (QoS 1).
        redelivered: how many the broker sends again (DUP).
    """

    accepted: int = 0
    qos1: int = 0
    redelivered: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def others(self) -> int:
        """Messages that were not accepted."""
        return self.rejected.total() + self.skipped.total()


class Ledger:
    """The counts, and the moves that keep them balanced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts({})

    def open(self, sink: str) -> None:
        """Begin to count for a sink; counts of one that was there before go on."""
        with self._lock:
            counts = self._counts.sinks.setdefault(sink, SinkCounts())
            counts.trouble, counts.is_removed = _NOT_YET, False

    def close(self, sink: str) -> None:
        """Record that a sink was removed; what it had not stored is set aside."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.trouble, counts.is_removed = "", True
            counts.is_restored = False  # an operator may change what the spool has
            counts.set_aside += counts.in_flight + counts.spooled
            counts.in_flight = counts.spooled = 0

    def snapshot(self) -> Counts:
        """A copy of the counts at one instant."""
        with self._lock:
            return deepcopy(self._counts)

    def receive(self, count: int, verdicts: Verdicts) -> None:
        """Count the messages of one read."""
        with self._lock:
            counts = self._counts
            counts.received += count
            counts.accepted += verdicts.accepted
            counts.unacknowledged += verdicts.qos1
            counts.redelivered += verdicts.redelivered
            if verdicts.rejected:
                counts.rejected.update(verdicts.rejected)
            if verdicts.skipped:
                counts.skipped.update(verdicts.skipped)

    def drop_readings(self, reasons: Iterable[str]) -> None:
        """Count readings that were wrong, and left out of what is stored."""
        with self._lock:
            self._counts.readings_dropped.update(reasons)

    def offer(self, sink: str, count: int) -> None:
        """Count messages that are on their way to a sink."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.accepted += count
            counts.in_flight += count

    def complete(
        self,
        sink: str,
        *,
        written: int = 0,
        partial: int = 0,
        spooled: int = 0,
        dead: int = 0,
    ) -> None:
        """Move messages on from in flight; `partial` are some of `written`."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.in_flight -= written + spooled + dead
            counts.written += written
            counts.partial += partial
            counts.spooled += spooled
            counts.dead += dead

    def observe_write(self, sink: str, seconds: float, count: int) -> None:
        """Record how long messages needed from their receipt to the sink."""
        with self._lock:
            self._counts.sinks[sink].receipt_to_written.observe(seconds, count)

    def observe_request(self, sink: str, seconds: float) -> None:
        """Record how long the sink needed for its answer to a write."""
        with self._lock:
            self._counts.sinks[sink].requests.observe(seconds)

    def replay(self, sink: str, *, written: int, partial: int, dead: int) -> None:
        """Move messages on from the spool; `partial` are some of `written`."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.spooled -= written + dead
            counts.written += written
            counts.partial += partial
            counts.dead += dead

    def expire(self, sink: str, messages: int) -> None:
        """Move messages on from the spool, in which they waited for too long."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.spooled -= messages
            counts.expired += messages

    def spool_is_empty(self, sink: str) -> None:
        """Count as set aside what the spool should have and has not."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.set_aside += counts.spooled
            counts.spooled = 0

    def is_restored(self, sink: str) -> bool:
        """Whether `restore_all` was called since the sink was opened or removed."""
        with self._lock:
            return self._counts.sinks[sink].is_restored

    def restore_all(self, sink: str, spooled: int) -> None:
        """Count what an earlier run left in the spool."""
        self.restore(sink, spooled)
        with self._lock:
            self._counts.sinks[sink].is_restored = True

    def restore(self, sink: str, spooled: int) -> None:
        """Count what an operator replays."""
        with self._lock:
            counts = self._counts.sinks[sink]
            counts.restored += spooled
            counts.spooled += spooled

    def acknowledge(self, batches: Sequence[Batch]) -> None:
        """Count PUBACKs sent."""
        with self._lock:
            now_s = time.monotonic()
            for batch in batches:
                count = len(batch.packet_ids)
                self._counts.acknowledged += count
                self._counts.unacknowledged -= count
                self._counts.receipt_to_ack.observe(now_s - batch.begun_s, count)

    def observe_loop(self, seconds: float) -> None:
        """Record how long the main loop did not read the socket."""
        with self._lock:
            self._counts.loop_turns.observe(seconds)

    def sink_is_up(self, sink: str) -> None:
        """Record that the sink accepts writes."""
        with self._lock:
            self._counts.sinks[sink].trouble = ""

    def sink_is_down(self, sink: str, why: str) -> None:
        """Record that the sink accepts no writes, and what it says."""
        with self._lock:
            self._counts.sinks[sink].trouble = why

    def dead_letters_wait(self, waiting: int, why: str | None) -> None:
        """Record how many are not on the disk yet, and why (nothing: as it was)."""
        with self._lock:
            self._counts.dead_letters_waiting = waiting
            if why is not None:
                self._counts.dead_letters_trouble = why

    def lose_dead_letters(self, count: int) -> None:
        """Count those of QoS 0 for which neither disk nor memory had room."""
        with self._lock:
            self._counts.dead_letters_lost += count

    def file_replaced(self, sink: str, text: str, *, is_damaged: bool) -> None:
        """Count a file of a sink that was lost, or damaged and set aside."""
        with self._lock:
            self._counts.sinks[sink].incidents.add(text, is_damaged=is_damaged)

    def spool_is_up(self, user: str) -> None:
        """Record that the spool accepts what one of its users gives."""
        with self._lock:
            self._counts.spool_troubles.pop(user, None)

    def spool_is_down(self, user: str, why: str) -> None:
        """Record that it does not."""
        with self._lock:
            self._counts.spool_troubles[user] = why

    def connection_is(self, *, up: bool) -> None:
        """Record whether the bridge is subscribed; count connections."""
        with self._lock:
            self._counts.connections += up
            self._counts.is_connected = up
            # Of an earlier connection nothing can be acknowledged any more.
            self._counts.unacknowledged = 0
            if up:
                self._counts.connection_trouble = ""

    def connection_failed(self, why: str) -> None:
        """Record why there is none, or none any more."""
        with self._lock:
            self._counts.connection_trouble = why

    def window_is(self, messages: int) -> None:
        """Record after how many messages the broker waits; 0: not seen."""
        with self._lock:
            self._counts.window = messages

    def session_is_lost(self) -> None:
        """Count a session that the broker has lost."""
        with self._lock:
            self._counts.sessions_lost += 1
