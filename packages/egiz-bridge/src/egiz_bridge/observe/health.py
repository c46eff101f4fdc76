"""What the bridge reports over HTTP: metrics, health, readiness, devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from egiz_bridge.config.tables import Http
from egiz_bridge.errors import ConfigError
from egiz_bridge.ledger.counts import Counts, Ledger
from egiz_bridge.ledger.devices import Devices, as_json
from egiz_bridge.ledger.our_clock import OurClock
from egiz_bridge.observe.http import App, HttpServer
from egiz_bridge.observe.metrics import CountsCollector
from egiz_bridge.session import Session
from egiz_bridge.spool import Spool

# The main loop turns every second, but for an address of the broker (10 s, with TLS) or
# a name that does not resolve; a writer waits ten seconds for an answer.
STUCK_S = 30.0

_log = structlog.get_logger()


class Parts(NamedTuple):
    """The parts of the bridge that health and metrics are read from."""

    ledger: Ledger
    devices: Devices
    spool: Spool
    session: Session
    our_clock: OurClock

    def liveness_problems(self) -> list[str]:
        """Why the process should be restarted, if so."""
        return [
            f"{name}: stuck for {seconds:.0f} s"
            for name, seconds in self.session.busy_seconds().items()
            if seconds > STUCK_S
        ]

    def not_started(self) -> list[str]:
        """What is missing before the first message can be stored."""
        counts = self.ledger.snapshot()
        sinks = counts.sinks.values()
        has_sink = any(sink.is_up and not sink.is_removed for sink in sinks)
        return self.not_ready() if not (counts.is_connected and has_sink) else []

    def not_ready(self) -> list[str]:
        """What keeps messages from flowing, if so."""
        counts = self.ledger.snapshot()
        problems = list(_connection_problems(counts))
        for name, sink in counts.sinks.items():
            if sink.is_removed:
                continue
            texts = [sink.trouble, sink.incidents.recent()]
            problems += [f"{name}: {text}" for text in texts if text]
        if counts.dead_letters_trouble:
            problems.append(f"dead letters: {counts.dead_letters_trouble}")
        problems += [f"clock: {text}" for text in self.our_clock.problems()]
        return problems + self._spool_problems(counts)

    def _spool_problems(self, counts: Counts) -> list[str]:
        texts = {self.spool.incidents.recent(), *counts.spool_troubles.values()}
        return [f"spool: {text}" for text in sorted(texts) if text]

    def devices_since(self, since_ms: int) -> dict[str, Any]:
        """The devices that sent a message after `since_ms`, and when counting began."""
        return {
            "started_ms": self.devices.started_ms,
            "devices": [
                as_json(seen)
                for seen in self.devices.seen()
                if seen.device.last_received_ms > since_ms
            ],
        }


def _connection_problems(counts: Counts) -> Iterator[str]:
    if not counts.is_connected:
        why = counts.connection_trouble
        yield f"mqtt: not subscribed: {why}" if why else "mqtt: not subscribed"


@contextmanager
def serving(http: Http, parts: Parts) -> Iterator[None]:
    """Serve while the block runs.

    Raises:
        ConfigError: the address cannot be had.
    """
    registry = CollectorRegistry()
    expiries = parts.session.certificate_expiries
    registry.register(
        CountsCollector(
            parts.ledger, parts.devices, parts.spool, parts.our_clock, expiries
        )
    )
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    checks = {"/healthz": parts.liveness_problems, "/readyz": parts.not_ready}
    host, port = http.address
    try:
        server = HttpServer(host, port, App(registry, checks, parts.devices_since))
    except OSError as error:
        raise ConfigError([f"http.listen: {host}:{port}: {error.strerror}"]) from error
    shown = f"[{host}]" if ":" in host else host
    _log.info("serving metrics", url=f"http://{shown}:{server.port}/metrics")
    try:
        yield
    finally:
        server.close()
