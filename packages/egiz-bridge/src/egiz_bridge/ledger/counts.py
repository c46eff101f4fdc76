"""The accounts of the bridge: where every message is, at every instant.

    received = accepted + rejected + skipped
    restored + accepted = in flight + written + spooled + dead + expired + set aside

The second holds for each sink. A message moves from one account to another under one
lock, so that a reader never sees it in two of them or in none. Messages that an earlier
run left in the spool count as restored.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from egiz_bridge.batch import Batch
from egiz_bridge.ledger.latency import Latencies


@dataclass(slots=True)
class SinkAccount:
    """Messages of one sink; all but `in_flight` and `spooled` only grow.

    Attributes:
        expired: waited in the spool for longer than `spool.max_age_days`.
        set_aside: were in a part of the spool that was damaged.
        trouble: why the sink takes no writes; nothing while it does.
    """

    restored: int = 0
    accepted: int = 0
    in_flight: int = 0
    written: int = 0
    spooled: int = 0
    dead: int = 0
    expired: int = 0
    set_aside: int = 0
    receipt_to_written: Latencies = field(default_factory=Latencies)
    trouble: str = "has not answered yet"

    @property
    def is_up(self) -> bool:
        """Whether the sink takes writes, as far as is known."""
        return not self.trouble

    @property
    def unaccounted(self) -> int:
        """Messages that are nowhere: 0, or the bridge has a fault."""
        told = self.in_flight + self.written + self.spooled + self.dead
        told += self.expired + self.set_aside
        return self.restored + self.accepted - told


@dataclass(slots=True)
class Books:
    """All accounts at one instant; counts are messages."""

    sinks: dict[str, SinkAccount]
    received: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    redelivered: int = 0
    connections: int = 0
    sessions_lost: int = 0
    receipt_to_ack: Latencies = field(default_factory=Latencies)
    turns: Latencies = field(default_factory=Latencies)
    unacknowledged: int = 0
    is_connected: bool = False

    @property
    def unaccounted(self) -> int:
        """Messages that are nowhere: 0, or the bridge has a fault."""
        told = self.accepted + self.rejected.total() + self.skipped.total()
        return self.received - told


@dataclass(slots=True)
class Verdicts:
    """What became of the messages of one read.

    Attributes:
        promised: how many are to be acknowledged (QoS 1).
        redelivered: how many the broker sends again (DUP).
    """

    accepted: int = 0
    promised: int = 0
    redelivered: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def others(self) -> int:
        """Messages that were not accepted."""
        return self.rejected.total() + self.skipped.total()


class Accounts:
    """The books, and the moves that keep them balanced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._books = Books({})

    def open(self, sink: str, spooled: int) -> None:
        """Open the account of a sink, with what earlier runs left in the spool for it.

        One that is open already stays as it is.
        """
        with self._lock:
            if sink not in self._books.sinks:
                account = SinkAccount(restored=spooled, spooled=spooled)
                self._books.sinks[sink] = account

    def snapshot(self) -> Books:
        """A copy of the books at one instant."""
        with self._lock:
            return deepcopy(self._books)

    def receive(self, count: int, verdicts: Verdicts) -> None:
        """Enter the messages of one read."""
        with self._lock:
            books = self._books
            books.received += count
            books.accepted += verdicts.accepted
            books.unacknowledged += verdicts.promised
            books.redelivered += verdicts.redelivered
            books.rejected.update(verdicts.rejected)
            books.skipped.update(verdicts.skipped)

    def offer(self, sink: str, count: int) -> None:
        """Enter messages that are on their way to a sink."""
        with self._lock:
            account = self._books.sinks[sink]
            account.accepted += count
            account.in_flight += count

    def settle(
        self, sink: str, *, written: int = 0, spooled: int = 0, dead: int = 0
    ) -> None:
        """Move messages on from in flight."""
        with self._lock:
            account = self._books.sinks[sink]
            account.in_flight -= written + spooled + dead
            account.written += written
            account.spooled += spooled
            account.dead += dead

    def took(self, sink: str, seconds: float, count: int) -> None:
        """Enter how long messages took from their receipt to the sink."""
        with self._lock:
            self._books.sinks[sink].receipt_to_written.observe(seconds, count)

    def replay(self, sink: str, *, written: int, dead: int) -> None:
        """Move messages on from the spool."""
        with self._lock:
            account = self._books.sinks[sink]
            account.spooled -= written + dead
            account.written += written
            account.dead += dead

    def expire(self, sink: str, messages: int) -> None:
        """Move messages on from the spool, in which they were for too long."""
        with self._lock:
            account = self._books.sinks[sink]
            account.spooled -= messages
            account.expired += messages

    def spool_is_empty(self, sink: str) -> None:
        """Enter that nothing waits any more: what should was in a damaged spool."""
        with self._lock:
            account = self._books.sinks[sink]
            account.set_aside += account.spooled
            account.spooled = 0

    def restore(self, sink: str, spooled: int) -> None:
        """Enter what was put into the spool by somebody else."""
        with self._lock:
            account = self._books.sinks[sink]
            account.restored += spooled
            account.spooled += spooled

    def acknowledge(self, batches: Sequence[Batch]) -> None:
        """Enter PUBACKs sent."""
        with self._lock:
            now_s = time.monotonic()
            for batch in batches:
                count = len(batch.packet_ids)
                self._books.acknowledged += count
                self._books.unacknowledged -= count
                self._books.receipt_to_ack.observe(now_s - batch.begun_s, count)

    def turned(self, seconds: float) -> None:
        """Enter for how long the main loop did not look at the socket."""
        with self._lock:
            self._books.turns.observe(seconds)

    def sink_is_up(self, sink: str) -> None:
        """Enter that the sink takes writes."""
        with self._lock:
            self._books.sinks[sink].trouble = ""

    def sink_is_down(self, sink: str, why: str) -> None:
        """Enter that the sink takes no writes, and what it says."""
        with self._lock:
            self._books.sinks[sink].trouble = why

    def connection_is(self, *, up: bool) -> None:
        """Enter whether the bridge is subscribed."""
        with self._lock:
            self._books.connections += up
            self._books.is_connected = up
            # Of an earlier connection nothing can be acknowledged any more.
            self._books.unacknowledged = 0

    def session_is_lost(self) -> None:
        """Enter that the broker has forgotten the session."""
        with self._lock:
            self._books.sessions_lost += 1
