"""The bridge as a process: built from its settings, run, controlled by signals."""

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from egiz_bridge.config.settings import Settings, load
from egiz_bridge.errors import ConfigError, Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.ledger.our_clock import OurClock
from egiz_bridge.mqtt.broker import brokers_of
from egiz_bridge.mqtt.waits import Waker
from egiz_bridge.observe.health import Parts, serving
from egiz_bridge.observe.systemd import Notifier, supervised
from egiz_bridge.orphans import log_orphans
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.guard import GuardedSink
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.session import Session
from egiz_bridge.session_record import SessionRecord
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import Spool

_log = structlog.get_logger()


def run(config: Path | None) -> None:
    """Run until SIGTERM or SIGINT, then store, acknowledge and disconnect.

    SIGHUP reads the configuration again.

    Raises:
        ConfigError: the configuration cannot be used.
        BridgeError: a part of the bridge has died.
    """
    settings = load(config)
    _check_files(settings)
    parts = _parts(settings)
    names = [table.sink_name for table in settings.sinks()]
    _log_leftover_spool(parts.spool, settings)
    _log.info("starting", broker=str(settings.mqtt.url), sinks=",".join(names))
    _tune_gc()
    notifier = Notifier()

    def reload() -> None:
        with notifier.reloading():
            _reload(parts.session, settings, config)

    with (
        _signal_handlers(parts.session),  # first: a signal may come soon
        serving(settings.http, parts),
        supervised(
            notifier, parts.liveness_problems, parts.not_started, parts.not_ready
        ),
    ):
        parts.session.run(reload)
    parts.spool.close()
    _log_totals(parts.ledger)


def _parts(settings: Settings) -> Parts:
    """The parts of the bridge, connected to each other."""
    spool = _open_spool(settings)
    ledger, devices, waker = Ledger(), Devices(), Waker()
    dispatcher = Dispatcher(spool, ledger, waker)
    intake = Intake(ledger, devices, dispatcher.offer)
    record = SessionRecord(spool.notes, ledger)
    session = Session(settings, intake, dispatcher, ledger, waker, record)
    return Parts(ledger, devices, spool, session, OurClock(devices))


def _check_files(settings: Settings) -> None:
    """Raise now for a file that cannot be read, and not when it is needed."""
    brokers_of(settings.mqtt)
    check_sinks(settings.sinks())


def check_sinks(tables: Sequence[SinkTable]) -> None:
    """Open and close each sink.

    Raises:
        ConfigError: one cannot be opened.
    """
    for table in tables:
        sink = GuardedSink(table.sink_name, table.open)
        try:
            sink.open()
        except Unavailable as error:
            key = f"{table.sink_name}.{table.where}"
            raise ConfigError([f"{key}: {error}"]) from None
        finally:
            sink.close()


def _tune_gc() -> None:
    """Messages make no cycles: looking for some costs a fifth of the CPU.

    Objects of the start live until the end, and need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _open_spool(settings: Settings) -> Spool:
    """The spool, without which no message could be acknowledged in an outage."""
    try:
        table = settings.spool
        return Spool(table.path, table.max_bytes, table.max_age_days)
    except Unavailable as error:
        raise ConfigError([f"spool.path: {error}"]) from error


def _log_leftover_spool(spool: Spool, settings: Settings) -> None:
    sinks = [table.sink_name for table in settings.sinks()]
    for sink, messages in spool.batches.counts().items():
        if sink in sinks:
            _log.info(
                "spool not empty: replaying messages of an earlier run",
                messages=messages,
            )
    log_orphans(settings)


@contextmanager
def _signal_handlers(session: Session) -> Iterator[None]:
    """Signals are noted here, and followed by the main loop.

    A handler runs amid whatever the main thread does, and may not wait for a lock that
    it holds: that of the log, for example.
    """
    handlers: dict[int, Callable[..., None]] = {
        signal.SIGTERM: lambda *_: session.stop(),
        signal.SIGINT: lambda *_: session.stop(),
        signal.SIGHUP: lambda *_: session.reload_soon(),
    }
    previous = {number: signal.signal(number, do) for number, do in handlers.items()}
    if getattr(previous[signal.SIGHUP], "came", False):  # while the program loaded
        session.reload_soon()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reload(session: Session, started_with: Settings, config: Path | None) -> None:
    """Use the configuration as it is now; with a wrong one, go on as before."""
    try:
        wanted = load(config)
        _check_files(wanted)
    except ConfigError as error:
        _log.error(
            "reload refused: configuration error; running with the previous one",
            why=str(error),
        )
        return
    except Exception:  # noqa: BLE001  # a reload must not end what runs
        _log.exception("reload refused: internal error; running as before; report this")
        return
    for table in ("spool", "http"):
        if getattr(wanted, table) != getattr(started_with, table):
            _log.warning("reload incomplete: this table needs a restart", table=table)
    session.configure(wanted)
    log_orphans(wanted)
    _log.info("reloaded", sinks=",".join(table.sink_name for table in wanted.sinks()))


def _log_totals(ledger: Ledger) -> None:
    counts = ledger.snapshot()
    _log.info(
        "stopped",
        received=counts.received,
        acknowledged=counts.acknowledged,
        rejected=counts.rejected.total(),
        skipped=counts.skipped.total(),
        **{f"{name}_written": sink.written for name, sink in counts.sinks.items()},
        **{f"{name}_spooled": sink.spooled for name, sink in counts.sinks.items()},
    )
