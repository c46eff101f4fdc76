"""Tries a sink that is in an outage until it answers.

It is tried by a thread of its own, with a sink object of its own: a try may hang for as
long as a write, and meanwhile batches must go to the spool.
"""

import threading
from collections.abc import Callable
from contextlib import closing

from egiz_bridge.backoff import Backoff
from egiz_bridge.errors import ConfigError, Unavailable
from egiz_bridge.sinks.sink import Sink

_BACKOFF = Backoff(first_s=0.5, doublings=6)  # up to 32 s


class RecoveryProbe(threading.Thread):
    """Probes a sink until it answers, as often as `_BACKOFF` and Retry-After allow.

    Args:
        open_sink: gives a sink to try.
        error: why the last try failed.
        failures: how many tries have failed by now, one at least.
        failed: called, in this thread, when one more has.
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
        self._error = error
        self._failures = failures
        self._failed = failed
        self._ended = threading.Event()
        self.is_over = False

    def run(self) -> None:
        """Until the sink answers."""
        while not self._ended.wait(self._pause_s()):
            try:
                self._try()
            except Unavailable as error:
                self._error = error
                self._failures += 1
                self._failed(error)
            else:
                self.is_over = True
                return

    def end(self) -> None:
        """Try no more."""
        self._ended.set()

    def _pause_s(self) -> float:
        return max(self._error.retry_after_s, _BACKOFF.pause_s(self._failures))

    def _try(self) -> None:
        try:
            sink = self._open_sink()
            with closing(sink):
                sink.probe()
        except ConfigError as error:  # a file of its table cannot be read
            raise Unavailable(str(error)) from error
