"""The bridge as a process: put together from its settings, run, stopped by a signal."""

import gc
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from egiz_bridge.accounts import Accounts
from egiz_bridge.broker import broker_of
from egiz_bridge.dispatch import Dispatcher
from egiz_bridge.errors import ConfigError, Unavailable
from egiz_bridge.http import HttpServer
from egiz_bridge.intake import Intake
from egiz_bridge.metrics import AccountsCollector
from egiz_bridge.route import Destination, route_of
from egiz_bridge.session import Session, Waker
from egiz_bridge.settings import Settings
from egiz_bridge.sinks.archive import Archive
from egiz_bridge.sinks.influxdb import InfluxDb
from egiz_bridge.sinks.lines import Lines
from egiz_bridge.spool import Spool

# The main loop turns every second, but for a connection attempt or a name that does not
# resolve.
_STUCK_S = 30.0

_log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then store, acknowledge and disconnect.

    Raises:
        ConfigError: the configuration cannot be used.
        BridgeError: a part of the bridge has died.
    """
    broker = broker_of(settings.mqtt)  # files that cannot be read are told now
    destinations = destinations_of(settings)
    spool = open_spool(settings)
    accounts = Accounts([sink.name for sink, _ in destinations])
    _restore(spool, accounts)
    waker = Waker()
    dispatcher = Dispatcher(destinations, spool, accounts, waker)
    routes = [route for _, route in destinations]
    intake = Intake(routes, accounts, dispatcher.offer)
    session = Session(settings.mqtt, intake, dispatcher, accounts, waker, spool)
    _log.info("starting", broker=str(broker), sinks=",".join(accounts.snapshot().sinks))
    _calm_the_garbage_collector()
    with _serving(settings, accounts, spool, session), _stopped_by_signals(session):
        session.run()
    spool.close()
    _tell_end(accounts)


def _calm_the_garbage_collector() -> None:
    """Messages make no cycles: looking for some costs a fifth of the CPU.

    What there is by now stays for good, and need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def destinations_of(settings: Settings) -> list[Destination]:
    """The sinks that the settings ask for; none is connected yet."""
    made = [Destination(InfluxDb(t), route_of(t)) for t in settings.influxdb]
    if archive := settings.archive_or_default():
        sink = Archive(archive.path, archive.retention_days)
        made.append(Destination(sink, route_of(archive)))
    if lines := settings.lines:
        made.append(Destination(Lines(lines.path), route_of(lines)))
    return made


def open_spool(settings: Settings) -> Spool:
    """The spool, without which nothing could be promised."""
    try:
        return Spool(settings.spool.path, settings.spool.max_bytes)
    except Unavailable as fault:
        raise ConfigError([f"spool.path: {fault}"]) from fault


def _restore(spool: Spool, accounts: Accounts) -> None:
    sinks = accounts.snapshot().sinks
    for sink, messages in spool.counts().items():
        if sink in sinks:
            accounts.restore(sink, messages)
            _log.info("the spool holds messages of an earlier run", messages=messages)
        else:
            _log.warning(
                "the spool holds messages for a sink that is not configured any more",
                sink=sink,
                messages=messages,
            )


@contextmanager
def _serving(
    settings: Settings, accounts: Accounts, spool: Spool, session: Session
) -> Iterator[None]:
    registry = CollectorRegistry()
    registry.register(AccountsCollector(accounts, spool))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    host, port = settings.http.address

    def ill() -> list[str]:
        stuck_s = time.monotonic() - session.last_turn
        return [f"no turn for {stuck_s:.0f} s"] if stuck_s > _STUCK_S else []

    def not_ready() -> list[str]:
        books = accounts.snapshot()
        problems = [] if books.is_connected else ["mqtt: not subscribed"]
        sinks = books.sinks.items()
        return problems + [
            f"{name}: {sink.trouble}" for name, sink in sinks if sink.trouble
        ]

    try:
        server = HttpServer(host, port, registry, ill=ill, not_ready=not_ready)
    except OSError as fault:
        raise ConfigError([f"http.listen: {host}:{port}: {fault.strerror}"]) from fault
    _log.info("serving metrics", url=f"http://{host}:{server.port}/metrics")
    try:
        yield
    finally:
        server.close()


@contextmanager
def _stopped_by_signals(session: Session) -> Iterator[None]:
    previous = {
        number: signal.signal(number, lambda *_: session.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _tell_end(accounts: Accounts) -> None:
    books = accounts.snapshot()
    _log.info(
        "stopped",
        received=books.received,
        acknowledged=books.acknowledged,
        rejected=books.rejected.total(),
        skipped=books.skipped.total(),
        **{f"{name}_written": sink.written for name, sink in books.sinks.items()},
        **{f"{name}_spooled": sink.spooled for name, sink in books.sinks.items()},
    )
