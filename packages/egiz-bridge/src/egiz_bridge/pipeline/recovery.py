"""Tries a sink that is in an outage until it answers.

It is tried by a thread of its own, with a sink object of its own: a try may hang for as
long as a write, and meanwhile batches must go to the spool.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing

from egiz_bridge.backoff import Backoff
from egiz_bridge.errors import Refused, Unavailable
from egiz_bridge.sinks.sink import Sink

_BACKOFF = Backoff(first_s=0.5, doublings=6)  # up to 32 s


class RecoveryProbe(threading.Thread):
    """Probes a sink until it answers, as often as `_BACKOFF` and Retry-After allow.

    Attributes:
        has_answered: whether it would accept a write, as far as a probe can show.

    Args:
        open_sink: gives a sink to try, which raises nothing but `Unavailable`.
        error: why the last try failed.
        failures: how many tries have failed by now, one at least.
        failed: called, in this thread, when one more has; never once `end` was called.
    """

    def __init__(
        self,
        open_sink: Callable[[], Sink],
        error: Unavailable,
        failures: int,
        failed: Callable[[Unavailable], None],
    ) -> None:
        super().__init__(name="outage", daemon=True)
        self._open_sink = open_sink
        self._error = error.without_frames()
        self._failures = failures
        self._failed = failed
        self._ended = threading.Event()
        self._reporting = threading.Lock()
        self._may_write = False
        self._over_at_s = float("inf")
        self.has_answered = False

    @property
    def is_over(self) -> bool:
        """Whether the sink may be written to again."""
        return self._may_write or time.monotonic() >= self._over_at_s

    def begin(self) -> None:
        """Start the thread; without one, the next write after the pause is the try."""
        try:
            self.start()
        except RuntimeError:  # the machine, or a limit of the service, has no more
            self._over_at_s = time.monotonic() + self._pause_s()

    def run(self) -> None:
        """Until the sink answers."""
        while not self._ended.wait(self._pause_s()):
            try:
                self._try()
            except Unavailable as error:
                self._report(error)
            else:
                self._may_write = self.has_answered = True
                return

    def end(self) -> None:
        """Try no more, and report no more: what is known by now is newer than a try."""
        with self._reporting:
            self._ended.set()

    def _report(self, error: Unavailable) -> None:
        with self._reporting:
            if self._ended.is_set():
                return
            self._error = error.without_frames()
            self._failures += 1
            self._failed(error)
            self._may_write = isinstance(error, Refused)

    def _pause_s(self) -> float:
        return max(self._error.retry_after_s, _BACKOFF.pause_s(self._failures))

    def _try(self) -> None:
        with closing(self._open_sink()) as sink:
            sink.probe()
