"""The bridge as a process: put together from its settings, run, steered by signals."""

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from egiz_bridge.config.settings import Settings, load
from egiz_bridge.config.tables import AnySink, Archive, Influxdb, Lines
from egiz_bridge.errors import ConfigError, Unavailable
from egiz_bridge.ledger.counts import Accounts
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.broker import broker_of
from egiz_bridge.observe.health import Parts, serving
from egiz_bridge.observe.systemd import Notifier, supervised
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.session import Session, Waker
from egiz_bridge.sinks import Sink
from egiz_bridge.sinks.archive import Archive as ArchiveSink
from egiz_bridge.sinks.influxdb import InfluxDb
from egiz_bridge.sinks.lines import Lines as LinesSink
from egiz_bridge.spool.batches import Spool

_log = structlog.get_logger()


def run(config: Path | None) -> None:
    """Run until SIGTERM or SIGINT, then store, acknowledge and disconnect.

    SIGHUP reads the configuration anew.

    Raises:
        ConfigError: the configuration cannot be used.
        BridgeError: a part of the bridge has died.
    """
    settings = load(config)
    _try_files(settings)
    spool = _open_spool(settings)
    accounts, devices, waker = Accounts(), Devices(), Waker()
    dispatcher = Dispatcher(open_sink, spool, accounts, waker)
    intake = Intake(accounts, devices, dispatcher.offer)
    session = Session(settings, intake, dispatcher, accounts, waker, spool)
    names = [table.name for table in settings.sinks()]
    _tell_of_orphans(spool, names)
    _log.info("starting", broker=str(settings.mqtt.url), sinks=",".join(names))
    _calm_the_garbage_collector()
    parts = Parts(accounts, devices, spool, session)
    notifier = Notifier()
    with (
        _steered(session, settings, config, notifier),  # first: a signal may come soon
        serving(settings.http, parts),
        supervised(notifier, parts.ill, parts.not_started, parts.not_ready),
    ):
        session.run()
    spool.close()
    _tell_end(accounts)


def open_sink(table: AnySink) -> Sink:
    """The sink of a table; it is not connected yet.

    Raises:
        ConfigError: a file that the table names cannot be read.
    """
    match table:
        case Influxdb():
            return InfluxDb(table)
        case Archive():
            return ArchiveSink(table.path, table.retention_days)
        case Lines():
            return LinesSink(table.path)


def _try_files(settings: Settings) -> None:
    """Tell now what cannot be read, and not when it is needed."""
    broker_of(settings.mqtt)
    for table in settings.sinks():
        open_sink(table).close()


def _calm_the_garbage_collector() -> None:
    """Messages make no cycles: looking for some costs a fifth of the CPU.

    What there is by now stays for good, and need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _open_spool(settings: Settings) -> Spool:
    """The spool, without which nothing could be promised."""
    try:
        table = settings.spool
        return Spool(table.path, table.max_bytes, table.max_age_days)
    except Unavailable as fault:
        raise ConfigError([f"spool.path: {fault}"]) from fault


def _tell_of_orphans(spool: Spool, sinks: list[str]) -> None:
    for sink, messages in spool.counts().items():
        if sink in sinks:
            _log.info("the spool holds messages of an earlier run", messages=messages)
        else:
            _log.warning(
                "the spool holds messages for a sink that is not configured any more",
                sink=sink,
                messages=messages,
            )


@contextmanager
def _steered(
    session: Session, settings: Settings, config: Path | None, notifier: Notifier
) -> Iterator[None]:

    def reload() -> None:
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.tell("RELOADING=1", f"MONOTONIC_USEC={now_us}")
        _reload(session, settings, config)
        notifier.tell("READY=1")

    handlers: dict[int, Callable[..., None]] = {
        signal.SIGTERM: lambda *_: session.stop(),
        signal.SIGINT: lambda *_: session.stop(),
        signal.SIGHUP: lambda *_: reload(),
    }
    previous = {number: signal.signal(number, do) for number, do in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reload(session: Session, started_with: Settings, config: Path | None) -> None:
    """Go on with the configuration of now; with a wrong one, as before."""
    try:
        wanted = load(config)
        _try_files(wanted)
    except ConfigError as fault:
        _log.error("not reloaded: the configuration is wrong", why=str(fault))
        return
    for table in ("spool", "http"):
        if getattr(wanted, table) != getattr(started_with, table):
            _log.warning("needs a restart, and stays as it was", table=table)
    session.configure(wanted)
    _log.info("reloaded", sinks=",".join(table.name for table in wanted.sinks()))


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
