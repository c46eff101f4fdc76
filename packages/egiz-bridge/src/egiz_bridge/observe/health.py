"""What the bridge tells of itself over HTTP: metrics, health, readiness, devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from egiz_bridge.config.tables import Http
from egiz_bridge.errors import ConfigError
from egiz_bridge.ledger.counts import Accounts
from egiz_bridge.ledger.devices import Devices, as_json
from egiz_bridge.observe.http import App, HttpServer
from egiz_bridge.observe.metrics import AccountsCollector
from egiz_bridge.session import Session
from egiz_bridge.spool.batches import Spool

# The main loop turns every second, but for a connection attempt or a name that does not
# resolve; a writer waits ten seconds for an answer.
_STUCK_S = 30.0

_log = structlog.get_logger()


class Parts(NamedTuple):
    """Whom to ask."""

    accounts: Accounts
    devices: Devices
    spool: Spool
    session: Session

    def ill(self) -> list[str]:
        """Why the process should be restarted, if so."""
        return [
            f"{name}: stuck for {seconds:.0f} s"
            for name, seconds in self.session.stuck_for_s().items()
            if seconds > _STUCK_S
        ]

    def not_started(self) -> list[str]:
        """What is missing before messages flow anywhere."""
        books = self.accounts.snapshot()
        is_heard = any(sink.is_up for sink in books.sinks.values())
        return self.not_ready() if not (books.is_connected and is_heard) else []

    def not_ready(self) -> list[str]:
        """What keeps messages from flowing, if so."""
        books = self.accounts.snapshot()
        problems = [] if books.is_connected else ["mqtt: not subscribed"]
        for name, sink in books.sinks.items():
            if sink.trouble:
                problems.append(f"{name}: {sink.trouble}")
        return problems

    def all_devices(self) -> list[dict[str, Any]]:
        """What is known of each device."""
        return [as_json(seen) for seen in self.devices.seen()]


@contextmanager
def serving(http: Http, parts: Parts) -> Iterator[None]:
    """Serve while the block runs.

    Raises:
        ConfigError: the address cannot be had.
    """
    registry = CollectorRegistry()
    expiries = parts.session.certificate_expiries
    registry.register(
        AccountsCollector(parts.accounts, parts.devices, parts.spool, expiries)
    )
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    checks = {"/healthz": parts.ill, "/readyz": parts.not_ready}
    host, port = http.address
    try:
        server = HttpServer(host, port, App(registry, checks, parts.all_devices))
    except OSError as fault:
        raise ConfigError([f"http.listen: {host}:{port}: {fault.strerror}"]) from fault
    _log.info("serving metrics", url=f"http://{host}:{server.port}/metrics")
    try:
        yield
    finally:
        server.close()
