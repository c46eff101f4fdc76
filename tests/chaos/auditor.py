"""Scrapes the bridge all the time, and adds up."""

import contextlib
import logging
import threading

from rig.bridge import Bridge

_NOT_NEGATIVE = ("sink_", "messages_", "mqtt_unacknowledged", "dead_letters")

Metrics = dict[str, float]

_log = logging.getLogger(__name__)


class Auditor(threading.Thread):
    """Keeps every imbalance, and every dead letter that a database caused.

    Attributes:
        scrapes: how many there were.
        imbalances: scrapes in which a message is in no count, or in too many.
        dead: scrapes in which a database has refused a message, which none does here.
    """

    def __init__(self, running: Bridge) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._ending = threading.Event()
        self.scrapes = 0
        self.imbalances: list[Metrics] = []
        self.dead: list[Metrics] = []

    def run(self) -> None:
        """Until `finish`."""
        while not self._ending.wait(0.2):
            with contextlib.suppress(OSError, KeyError):  # it was killed just now
                self._audit(self._running.metrics())

    def finish(self) -> None:
        """End."""
        self._ending.set()
        self.join()

    def _audit(self, metrics: Metrics) -> None:
        accounted = metrics["messages_accepted_total"]
        accounted += _total(metrics, "messages_rejected_total")
        accounted += _total(metrics, "messages_skipped_total")
        is_balanced = metrics["messages_received_total"] == accounted
        if not is_balanced or any(_unaccounted(metrics)) or _has_negative(metrics):
            if not self.imbalances:
                _log.error("not balanced: %s", _counts(metrics))
            self.imbalances.append(metrics)
        if _total(metrics, "sink_dead_total") or _total(metrics, "sink_expired_total"):
            self.dead.append(metrics)
        self.scrapes += 1


def _counts(metrics: Metrics) -> Metrics:
    return {k: v for k, v in metrics.items() if k.startswith(_NOT_NEGATIVE)}


def _total(metrics: Metrics, name: str) -> float:
    return sum(value for key, value in metrics.items() if key.startswith(name))


def _unaccounted(metrics: Metrics) -> list[float]:
    return [v for key, v in metrics.items() if key.startswith("sink_unaccounted/")]


def _has_negative(metrics: Metrics) -> bool:
    return any(v < 0 for key, v in metrics.items() if key.startswith(_NOT_NEGATIVE))
