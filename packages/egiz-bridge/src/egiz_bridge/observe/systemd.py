"""Messages to the service manager: ready, alive, reloading, stopping (sd_notify(3)).

The protocol is one datagram of text, so there is no library for it here. Without
NOTIFY_SOCKET, nothing is sent.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from egiz_bridge.log import RateLimitedLog
from egiz_bridge.pipeline.internal import place_of

_LOOK_EVERY_S = 1.0
# A datagram of `--workers` must hold it, and a person read it.
_STATUS_MAX = 1000  # characters

_log = structlog.get_logger()


class Notifier:
    """Sends to the service manager; without NOTIFY_SOCKET, nothing is sent."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # An abstract name is written with an @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s()
        self._is_ready = False

    def ready(self) -> None:
        """Say that it has started."""
        self._is_ready = True
        self.send("READY=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say so while the block runs; before it has started, that is part of it."""
        if not self._is_ready:
            yield
            return
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={now_us}")
        yield
        self.send("READY=1")

    def status(self, text: str) -> None:
        """Show a text, in one line; a long one is cut."""
        line = " ".join(text[: _STATUS_MAX + 1].split())
        self.send(f"STATUS={line[:_STATUS_MAX]}{'...' * (len(text) > _STATUS_MAX)}")

    def send(self, *assignments: str) -> None:
        """Send, for example, ``READY=1``."""
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            # A path may hold what is no UTF-8.
            data = "\n".join(assignments).encode(errors="backslashreplace")
            sender.sendto(data, self._address)


def _watchdog_s() -> float:
    """Seconds within which WATCHDOG=1 is expected; 0 without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6


@contextmanager
def supervised(
    notifier: Notifier,
    liveness_problems: Callable[[], list[str]],
    not_started: Callable[[], list[str]],
    not_ready: Callable[[], list[str]],
) -> Iterator[None]:
    """Report to the service manager while the block runs.

    Args:
        notifier: sends to it.
        liveness_problems: why the process should be restarted; while there is a
            reason, the watchdog is not fed.
        not_started: what is missing before READY is sent.
        not_ready: what is shown as its status.
    """
    stopping = threading.Event()
    watch = _Watch(notifier, liveness_problems, not_started, not_ready)
    thread = threading.Thread(target=watch.run, args=(stopping,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        notifier.send("STOPPING=1")
        notifier.status("storing what was received")


class _Watch:
    def __init__(
        self,
        notifier: Notifier,
        liveness_problems: Callable[[], list[str]],
        not_started: Callable[[], list[str]],
        not_ready: Callable[[], list[str]],
    ) -> None:
        self._notifier = notifier
        self._liveness_problems, self._not_started, self._not_ready = (
            liveness_problems,
            not_started,
            not_ready,
        )
        self._is_ready = False
        self._status = ""
        self._alive_due = 0.0
        self._limited_log = RateLimitedLog()

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(_LOOK_EVERY_S if self._is_ready else 0.1):
            for report in (self._report_ready, self._report_status, self._report_alive):
                with self._guarded():
                    report()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever a report raises, the next one follows: this thread must not end.

        Without it, the service manager would end a bridge that works.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001  # see above
            if times := self._limited_log.due("internal"):
                _log.error(
                    "internal error: no report to the service manager, trying again;"
                    " please report this",
                    why=f"{type(error).__name__}: {error} at {place_of(error)}",
                    times=times,
                )

    def _report_ready(self) -> None:
        if not self._is_ready and not self._not_started():
            self._is_ready = True
            self._notifier.ready()

    def _report_status(self) -> None:
        status = "; ".join(self._not_ready()) or "all is well"
        if status != self._status:
            self._status = status
            self._notifier.status(status)

    def _report_alive(self) -> None:
        every_s = self._notifier.watchdog_s / 3
        if (
            every_s
            and time.monotonic() >= self._alive_due
            and not self._liveness_problems()
        ):
            self._alive_due = time.monotonic() + every_s
            self._notifier.send("WATCHDOG=1")
