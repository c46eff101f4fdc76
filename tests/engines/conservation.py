"""A fleet publishes while parts are killed; at the end every point is stored once."""

import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig.bridge import Bridge
from rig.plugin import Launch
from rig.stored import Points
from rig.waiting import eventually

DEVICES, RATE, SECONDS = 20, 25, 20
_log = logging.getLogger(__name__)


class Fleet:
    """20 devices, 500 messages a second, for 20 seconds or as many as are given."""

    def __init__(
        self, launch: Launch, directory: Path, broker_url: str, seconds: int = SECONDS
    ) -> None:
        self._report = directory / "fleet.json"
        self._seconds = seconds
        plan = {"--devices": DEVICES, "--rate": RATE, "--seconds": seconds}
        arguments = [str(word) for pair in plan.items() for word in pair]
        self._begun_s = time.monotonic()
        self._process = launch(
            "egiz-sim",
            "run",
            "--broker",
            broker_url,
            *arguments,
            "--report",
            self._report,
        )

    def until(self, seconds: float) -> None:
        """Wait until it has run for so long."""
        time.sleep(max(0.0, self._begun_s + seconds - time.monotonic()))

    def ledger(self) -> dict[str, Any]:
        """Wait for its end; the broker has acknowledged every message."""
        assert self._process.wait(self._seconds + 120) == 0, self._process.output()
        ledger: dict[str, Any] = json.loads(self._report.read_text())
        assert ledger["balanced"]
        return ledger


def expected(ledger: dict[str, Any]) -> Counter[tuple[str, str, int]]:
    """The messages of a fleet: telemetry has numbers, a report of status counts."""
    found: Counter[tuple[str, str, int]] = Counter()
    for name, device in ledger["devices"].items():
        published = device["published"]
        found.update(("telemetry", name, seq) for seq in range(published["telemetry"]))
        found["status", name, 0] = published["status"]
    return found


def held(points: Points) -> Counter[tuple[str, str, int]]:
    """The same of what a database holds; a last will is no message of the fleet."""
    found: Counter[tuple[str, str, int]] = Counter()
    for (kind, name, _), fields in points.items():
        if kind == "telemetry":
            # InfluxDB 1 may show a row before all of its fields.
            found[kind, name, int(fields.get("seq", -1))] += 1
        elif "firmware_version" in fields:
            found[kind, name, 0] += 1
    return found


def is_conserved(
    engine: str,
    fleet: Fleet,
    running: Bridge,
    read: Callable[[], Points],
    timeout: float = 90,
) -> None:
    """Every message is stored once, and the ledger of the bridge is balanced."""
    ledger = fleet.ledger()
    ended_s = time.monotonic()
    sent = expected(ledger)
    with contextlib.suppress(AssertionError):
        eventually(lambda: held(read()) == sent, timeout)
    stored = held(read())
    lost, more = sent - stored, stored - sent
    _log.info(
        "%s: sent %d, stored %d, lost %d, twice %d, complete %.0f s after the last",
        *(engine, sent.total(), stored.total(), lost.total(), more.total()),
        time.monotonic() - ended_s,
    )
    assert (lost, more) == (Counter(), Counter())
    eventually(lambda: _is_balanced(running.metrics()), 30)
    assert "Traceback" not in running.log


def _is_balanced(metrics: dict[str, float]) -> bool:
    def total(name: str) -> float:
        return sum(value for key, value in metrics.items() if key.startswith(name))

    accounted = metrics["messages_accepted_total"]
    accounted += total("messages_rejected_total") + total("messages_skipped_total")
    return (
        metrics["messages_received_total"] == accounted
        and total("sink_unaccounted/") == 0
        and total("sink_spooled/") == 0
        and total("sink_dead_total/") == 0
        and metrics["mqtt_unacknowledged_messages"] == 0
    )
