"""One thread per sink: live batches first, then what waits in the spool.

While a sink does not answer (outage.py), batches go to the spool and are acknowledged.
Live data is never behind a backlog: after each live batch at most one spooled batch is
replayed.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from egiz_schema import EgizError

from egiz_bridge.batch import Batch, DeadLetter, Message, Row
from egiz_bridge.errors import SpoolDamaged, Unavailable
from egiz_bridge.ledger.counts import Accounts
from egiz_bridge.log import Sparingly
from egiz_bridge.pipeline.isolation import Isolation
from egiz_bridge.pipeline.recovery import Outage
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks import Sink
from egiz_bridge.spool.batches import Spool

_ADOPT_EVERY_S = 2.0
_LOOK_AGAIN_S = 0.25

_log = structlog.get_logger()


class Writer(threading.Thread):
    """Writes batches to one sink; `done` is called when one is stored.

    It begins when those `after` which it comes have ended: two of them would replay the
    same batch of the spool.
    """

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        spool: Spool,
        accounts: Accounts,
        done: Callable[[Batch], None],
        after: Sequence["Writer"] = (),
    ) -> None:
        sink = open_sink()
        super().__init__(name=f"writer-{sink.name}", daemon=True)
        self.sink_name = sink.name
        self._open_sink = open_sink
        self._after = after
        self._sink = sink
        self._isolation = Isolation(sink)
        self._spool = spool
        self._accounts = accounts
        self._done = done
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._has_backlog = True  # as far as is known
        self._failures = 0
        self._sparingly = Sparingly()
        self._outage: Outage | None = None
        self.busy_since_s = float("inf")
        self._adopt_at = 0.0

    def offer(self, batch: Batch) -> None:
        """Take a batch; never blocks."""
        self._queue.put(batch)

    def stop(self) -> None:
        """Deal with what was offered, then end; what cannot be stored stays unacked."""
        self._stopping.set()
        self._queue.put(None)

    def run(self) -> None:
        """Until stopped."""
        for writer in self._after:
            writer.join()
        self._probe()
        try:
            while True:
                try:
                    batch = self._queue.get(timeout=self._patience_s())
                except queue.Empty:
                    self._use_the_pause()
                    continue
                if batch is None:
                    return
                self._deliver(batch)
                with self._busy():
                    self._replay_oldest()
        finally:
            if self._outage:
                self._outage.end()
            self._sink.close()

    def _probe(self) -> None:
        """Learn whether the sink is there before there is anything to write."""
        try:
            with self._busy():
                self._sink.probe()
        except Unavailable as fault:
            self._rest(fault)
        else:
            self._is_back()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Around whatever might hang."""
        self.busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self.busy_since_s = float("inf")

    def _use_the_pause(self) -> None:
        """No live batch: the spool has its turn."""
        with self._busy():
            self._replay_oldest()
        if self._outage and self._outage.is_over and not self._has_backlog:
            self._is_back()

    def _patience_s(self) -> float | None:
        """How long to wait for a live batch before the spool gets its turn."""
        if self._stopping.is_set():
            return None
        if self._is_resting():
            return _LOOK_AGAIN_S
        if self._outage or self._has_backlog:
            return 0.0
        return max(0.0, self._adopt_at - time.monotonic())

    def _is_resting(self) -> bool:
        return self._outage is not None and not self._outage.is_over

    def _deliver(self, batch: Batch) -> None:
        """Write or spool; with neither to be had, hold until one is."""
        rows = batch.rows_for[self._sink.name]
        while not (was_written := self._was_written(rows)):
            if self._was_spooled(rows):
                break
            if self._stopping.wait(_LOOK_AGAIN_S):
                return  # not acknowledged: the broker still has it
        self._sparingly.over("holding")
        if was_written:
            took_s = time.monotonic() - batch.begun_s
            self._accounts.took(self._sink.name, took_s, len(rows))
        self._done(batch)

    def _was_written(self, rows: Sequence[Row]) -> bool:
        if self._is_resting():
            return False
        with self._busy():
            dead = self._write(rows)
        if dead is None:
            return False
        self._accounts.settle(
            self._sink.name, written=len(rows) - len(dead), dead=len(dead)
        )
        return True

    def _was_spooled(self, rows: Sequence[Row]) -> bool:
        try:
            with self._busy():
                self._spool.put(self._sink.name, [row.message for row in rows])
        except Unavailable as fault:
            if times := self._sparingly.due("holding"):
                _log.error(
                    "holding: no sink, no spool",
                    sink=self._sink.name,
                    why=str(fault),
                    times=times,
                )
            return False
        self._has_backlog = True
        self._accounts.settle(self._sink.name, spooled=len(rows))
        return True

    def _tend_the_spool(self) -> None:
        """Now and then: what an operator wants written again, what is too old."""
        if time.monotonic() < self._adopt_at:
            return
        self._adopt_at = time.monotonic() + _ADOPT_EVERY_S
        try:
            self._adopt()
            self._expire()
        except Unavailable as fault:
            if times := self._sparingly.due("spool"):
                _log.warning("cannot tend the spool", why=str(fault), times=times)
        else:
            self._sparingly.over("spool")

    def _adopt(self) -> None:
        if adopted := self._spool.adopt(self._sink.name):
            _log.info("replaying", sink=self._sink.name, messages=adopted)
            self._isolation.forget()
            self._accounts.restore(self._sink.name, adopted)
            self._has_backlog = True

    def _expire(self) -> None:
        if expired := self._spool.expire(self._sink.name):
            _log.error(
                "dropped what has waited for more than spool.max_age_days",
                sink=self._sink.name,
                messages=expired,
            )
            self._accounts.expire(self._sink.name, expired)

    def _replay_oldest(self) -> None:
        self._tend_the_spool()
        if not self._has_backlog or self._is_resting():
            return
        try:
            spooled = self._spool.oldest(self._sink.name)
            if spooled is None:
                self._has_backlog = False
                self._accounts.spool_is_empty(self._sink.name)
                return
            rows, undecodable = _decoded(spooled.messages)
            dead = self._write(rows)
            if dead is None:
                return
            self._bury(undecodable)
            self._spool.drop(spooled)
        except SpoolDamaged:
            return  # there is a new one
        except Unavailable as fault:
            self._rest(fault)
            return
        gone = len(dead) + len(undecodable)
        self._accounts.replay(
            self._sink.name, written=len(spooled.messages) - gone, dead=gone
        )

    def _write(self, rows: Sequence[Row]) -> list[DeadLetter] | None:
        """Write rows, bad ones apart; nothing if the sink does not answer."""
        try:
            dead = self._isolation.write(rows) if rows else []
            self._bury(dead)
        except Unavailable as fault:
            self._rest(fault)
            return None
        if self._outage:
            self._is_back()
        return dead

    def _is_back(self) -> None:
        if self._outage:
            _log.info("sink is back", sink=self._sink.name, failures=self._failures)
            self._outage.end()
            self._outage = None
        self._accounts.sink_is_up(self._sink.name)
        self._failures = 0

    def _bury(self, letters: list[DeadLetter]) -> None:
        if letters:
            self._spool.bury(letters, self._sink.name)
            if times := self._sparingly.due(letters[0].reason):
                _log.warning(
                    "rows rejected by the sink are dead letters now",
                    sink=self._sink.name,
                    count=len(letters),
                    first=letters[0].detail,
                    times=times,
                )

    def _rest(self, fault: Unavailable) -> None:
        """Leave the sink alone until a try of it succeeds."""
        if not self._failures:
            _log.warning(
                "sink does not take writes; spooling and retrying",
                sink=self._sink.name,
                why=str(fault),
            )
        self._has_failed(fault)
        self._outage = Outage(self._open_sink, fault, self._failures, self._has_failed)
        self._outage.start()

    def _has_failed(self, fault: Unavailable) -> None:
        self._failures += 1
        self._accounts.sink_is_down(self._sink.name, str(fault))


def _decoded(messages: Sequence[Message]) -> tuple[list[Row], list[DeadLetter]]:
    """Rows again; a message that an older bridge took may not pass any more."""
    rows, dead = [], []
    for message in messages:
        try:
            rows.append(to_row(message))
        except EgizError as fault:
            dead.append(DeadLetter(message, fault.reason, str(fault)))
    return rows, dead
