"""One thread per sink: live batches first, then what waits in the spool.

While a sink does not answer (recovery.py), batches are spooled and acknowledged.
Live data is never behind a backlog: after each live batch at most one spooled batch is
replayed.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from egiz_bridge.batch import Batch, DeadLetter, Row
from egiz_bridge.errors import FileDamaged, FileReplaced, Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.pipeline.guard import GuardedSink, outage_on_error
from egiz_bridge.pipeline.isolation import Isolation
from egiz_bridge.pipeline.maintenance import Maintenance
from egiz_bridge.pipeline.recovery import RecoveryProbe
from egiz_bridge.pipeline.rows import to_rows
from egiz_bridge.pipeline.turn import Outcome
from egiz_bridge.sinks.sink import Sink
from egiz_bridge.spool import Spool
from egiz_bridge.spool.batches import Spooled

_LOOK_AGAIN_S = 0.25

_log = structlog.get_logger()


class Writer(threading.Thread):
    """Writes batches to one sink; `done` is called when one is stored.

    It begins when those `after` which it comes have ended: two of them would replay the
    same batch of the spool. It goes on with what they could not store.
    """

    def __init__(
        self,
        name: str,
        open_sink: Callable[[], Sink],
        spool: Spool,
        ledger: Ledger,
        done: Callable[[Batch], None],
        after: Sequence["Writer"] = (),
    ) -> None:
        super().__init__(name=f"writer-{name}", daemon=True)
        self.sink_name = name
        self._open_sink = open_sink
        self._after = after
        self._sink = GuardedSink(name, open_sink, self._record_replaced)
        self._isolation = Isolation(
            self._sink, self._add_dead_letters, self._is_alive, self._observe_request
        )
        self._spool = spool
        self._ledger = ledger
        self._done = done
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._left: list[Batch] = []
        self._stopping = threading.Event()
        self._has_backlog = True  # as far as is known
        self._failures = 0
        self._limited_log = RateLimitedLog()
        self._recovery: RecoveryProbe | None = None
        self.busy_since_s = float("inf")
        ledger.open(name)
        self._maintenance = Maintenance(name, spool, ledger)

    def offer(self, batch: Batch) -> None:
        """Queue a batch; never blocks."""
        self._queue.put(batch)

    def stop(self) -> None:
        """Write what was offered, then end; what cannot be stored stays unacked."""
        self._stopping.set()
        self._queue.put(None)

    def take_left(self) -> list[Batch]:
        """What it was offered and could not store; for when it has ended.

        One that was never started has all of it, and what those before it have left.
        """
        left, self._left = self._left, []
        if self.ident is None:
            left = self._take_from_before()
        while not self._queue.empty():
            batch = self._queue.get()
            left += [batch] if batch else []
        return left

    def run(self) -> None:
        """Until stopped."""
        left = self._take_from_before()
        self._probe()
        try:
            for one in left:
                self._deliver(one)
            while True:
                try:
                    batch = self._queue.get(timeout=self._queue_timeout_s())
                except queue.Empty:
                    self._on_idle()
                    continue
                if batch is None:
                    return
                self._deliver(batch)
                with self._busy():
                    self._replay_oldest()
        finally:
            if self._recovery:
                self._recovery.end()
            self._sink.close()
            self._ledger.spool_is_up(self.name)
            self._maintenance.end()

    def _take_from_before(self) -> list[Batch]:
        left = []
        for writer in self._after:
            if writer.ident is not None:
                with self._busy():
                    writer.join()
            left += writer.take_left()
        return left

    def _probe(self) -> None:
        """Find out whether the sink answers before there is anything to write."""
        try:
            with self._busy():
                self._sink.probe()
        except Unavailable as error:
            self._pause_sink(error)
        else:
            self._resume_sink()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Around calls that might hang."""
        self.busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self.busy_since_s = float("inf")

    def _on_idle(self) -> None:
        """No live batch: replay from the spool."""
        with self._busy():
            self._replay_oldest()
        if self._recovery and self._recovery.has_answered and not self._has_backlog:
            self._resume_sink()

    def _queue_timeout_s(self) -> float | None:
        """How long to wait for a live batch before one is replayed."""
        if self._stopping.is_set():
            return None
        if self._is_paused():
            return _LOOK_AGAIN_S
        if self._has_backlog:
            return 0.0
        if self._recovery:
            return 0.0 if self._recovery.has_answered else _LOOK_AGAIN_S
        return self._maintenance.due_in_s()

    def _is_paused(self) -> bool:
        return self._recovery is not None and not self._recovery.is_over

    def _deliver(self, batch: Batch) -> None:
        """Write or spool; backpressure until one of them works."""
        rows = batch.rows_for[self.sink_name]
        groups = self._not_written([rows])
        if not groups:
            took_s = time.monotonic() - batch.begun_s
            self._ledger.observe_write(self.sink_name, took_s, len(rows))
        while groups := self._not_spooled(groups):
            if self._stopping.wait(_LOOK_AGAIN_S if self._is_paused() else 0):
                # Not acknowledged: the broker has it, or another writer takes it.
                batch.rows_for[self.sink_name] = [row for one in groups for row in one]
                self._left.append(batch)
                return
            groups = self._not_written(groups)
        self._limited_log.over("backpressure")
        self._ledger.spool_is_up(self.name)
        self._done(batch)

    def _not_written(self, groups: list[list[Row]]) -> list[list[Row]]:
        """Write the first group, as far as one turn gets; gives what is left."""
        if self._is_paused():
            return groups
        with self._busy():
            outcome = self._write(groups[0])
        self._ledger.complete(
            self.sink_name,
            written=outcome.written,
            partial=outcome.partial,
            dead=outcome.dead,
        )
        return outcome.rest + groups[1:]

    def _not_spooled(self, groups: list[list[Row]]) -> list[list[Row]]:
        """Spool groups, each as a batch of its own; gives what is left."""
        while groups and self._was_spooled(groups[0]):
            groups = groups[1:]
        return groups

    def _replay_oldest(self) -> None:
        try:
            with outage_on_error(self.sink_name):
                self._maintain_and_replay()
        except FileDamaged:
            return  # there is a new one
        except Unavailable as error:
            self._pause_sink(error)

    def _maintain_and_replay(self) -> None:
        self._maintenance.restore()
        if self._maintenance.due_in_s() == 0.0 and not self._is_paused():
            self._maintain_sink()
        if self._maintenance.run():
            self._isolation.forget()
            self._has_backlog = True
        if not self._has_backlog or self._is_paused():
            return
        spooled = self._spool.batches.oldest(self.sink_name)
        if spooled is None:
            self._has_backlog = False
            self._ledger.spool_is_empty(self.sink_name)
        else:
            self._replay(spooled)

    def _maintain_sink(self) -> None:
        try:
            self._sink.maintain()
        except Unavailable as error:
            self._pause_sink(error)

    def _was_spooled(self, rows: Sequence[Row]) -> bool:
        try:
            with self._busy(), outage_on_error(self.sink_name):
                self._maintenance.restore()
                self._spool.batches.put(self.sink_name, [row.message for row in rows])
        except Unavailable as error:
            self._ledger.spool_is_down(self.name, str(error))
            if times := self._limited_log.due("backpressure"):
                _log.error(
                    "backpressure: sink and spool unavailable; not acknowledging",
                    sink=self.sink_name,
                    why=str(error),
                    times=times,
                )
            return False
        self._has_backlog = True
        self._isolation.spooled(rows)
        self._ledger.complete(self.sink_name, spooled=len(rows))
        return True

    def _replay(self, spooled: Spooled) -> None:
        """Write a batch, as far as one turn gets; the rest stays in the spool."""
        rows, undecodable = to_rows(spooled.messages)
        outcome = self._write(rows)
        if outcome.error and not (outcome.written or outcome.dead):
            return
        self._add_dead_letters(undecodable)
        if outcome.rest:
            rest = [[row.message for row in group] for group in outcome.rest]
            self._spool.batches.replace(spooled, self.sink_name, rest)
        else:
            self._spool.batches.drop(spooled)
        self._ledger.replay(
            self.sink_name,
            written=outcome.written,
            partial=outcome.partial,
            dead=outcome.dead + len(undecodable),
        )

    def _write(self, rows: Sequence[Row]) -> Outcome:
        """Write rows, bad ones apart, in one turn."""
        try:
            with outage_on_error(self.sink_name):
                outcome = self._isolation.write(rows)
        except Unavailable as error:
            outcome = Outcome(0, 0, 0, [list(rows)], error.without_frames())
        if outcome.error:
            self._pause_sink(outcome.error)
        elif self._recovery and outcome.has_asked:
            self._resume_sink()
        return outcome

    def _is_alive(self) -> None:
        """Before each request: what hangs is one of them, not a turn of many."""
        self.busy_since_s = time.monotonic()

    def _observe_request(self, seconds: float) -> None:
        self._ledger.observe_request(self.sink_name, seconds)

    def _resume_sink(self) -> None:
        if self._recovery:
            _log.info(
                "sink outage is over; replaying the spool",
                sink=self.sink_name,
                failures=self._failures,
            )
            self._recovery.end()
            self._recovery = None
        self._ledger.sink_is_up(self.sink_name)
        self._failures = 0

    def _add_dead_letters(self, letters: list[DeadLetter]) -> None:
        if letters:
            with outage_on_error(self.sink_name):
                self._spool.dead_letters.add(letters, self.sink_name)
            if times := self._limited_log.due(letters[0].reason):
                _log.warning(
                    "rejected by the sink: dead letters, see `egiz-bridge dlq`",
                    sink=self.sink_name,
                    count=len(letters),
                    first=letters[0].detail,
                    times=times,
                )

    def _pause_sink(self, error: Unavailable) -> None:
        """Write nothing to the sink until a probe succeeds."""
        if not self._failures:
            _log.warning(
                "sink outage: writes fail; spooling and retrying",
                sink=self.sink_name,
                why=str(error),
            )
        if self._recovery:
            self._recovery.end()
        self._record_failure(error)
        self._recovery = RecoveryProbe(
            lambda: GuardedSink(self.sink_name, self._open_sink),
            error,
            self._failures,
            self._record_failure,
        )
        self._recovery.begin()

    def _record_replaced(self, error: FileReplaced) -> None:
        self._ledger.file_replaced(
            self.sink_name, str(error), is_damaged=error.is_damaged
        )

    def _record_failure(self, error: Unavailable) -> None:
        self._failures += 1
        self._ledger.sink_is_down(self.sink_name, str(error))
