"""One load, or several on the same connections, and the report of each."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

from egiz_sim.broker import Broker
from egiz_sim.load import link
from egiz_sim.load.figures import figures
from egiz_sim.load.generator import Generator, Load
from egiz_sim.load.ledger import Ledger
from egiz_sim.load.observer import Observer
from egiz_sim.load.stores import Store
from egiz_sim.load.system import BridgeCounters, BrokerCounters
from egiz_sim.load.verdict import Objective, verdict

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """Where the messages are looked for.

    Attributes:
        is_live: subscribe to them.
        reader: whom the broker lets subscribe, and read $SYS; None: it lets no one.
        store: the archive or database.
        bridge: URL of its HTTP server.
    """

    is_live: bool
    reader: Broker | None
    store: Store | None
    bridge: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the figures are held against.

    Attributes:
        objective: of the latency.
        max_lag_ms: of the generator's own lag, p99.
        late_s: after how long a message is late.
    """

    objective: Objective | None
    max_lag_ms: float
    late_s: float


class Runner:
    """Sends loads over connections that are made once; use `connected`."""

    def __init__(
        self, broker: Broker, generator: Generator, watch: Watch, limits: Limits
    ) -> None:
        self._broker = broker
        self._generator = generator
        self._watch = watch
        self._limits = limits
        self._boot = 0
        self._current: tuple[Load, Ledger] | None = None

    def current(self) -> tuple[Load, Ledger] | None:
        """The load that is sent now, or was the last."""
        return self._current

    async def run(self, load: Load, stop: asyncio.Event) -> Report:
        """Send a load and look for every message of it.

        Raises:
            ObserverError: if the subscriber or the database's reader fails.
            MetricsError: if the bridge's metrics cannot be read.
        """
        # Seconds since 1970, so that no two loads have the same.
        self._boot = max(self._boot + 1, int(time.time()))
        ledger = Ledger(
            load.devices,
            self._boot,
            is_live=self._watch.is_live,
            is_stored=self._watch.store is not None,
        )
        self._current = (load, ledger)
        counters = self._counters()
        for one in counters.values():
            await one.begin()
        async with _observing(self._observers(load, ledger)) as observers:
            begun, cpu_s = time.monotonic(), time.process_time()
            reconnects, brief = self._generator.reconnects, self._generator.brief
            await self._generator.send(load, ledger, stop)
            cpu_s = time.process_time() - cpu_s
            elapsed_s = time.monotonic() - begun
        joined = {name: await one.end() for name, one in counters.items()}
        found = {
            "load": {**asdict(load), "broker": str(self._broker), "boot": self._boot},
            "planned": load.messages,
            "is_stopped": stop.is_set(),
            "elapsed_s": round(elapsed_s, 3),
            "generator_cpu_percent": _percent(cpu_s, ledger),
            "reconnects": self._generator.reconnects - reconnects,
            "brief_connections": self._generator.brief - brief,
            "observer_disconnections": sum(one.disconnections for one in observers),
            **figures(ledger, self._limits.late_s, load.names),
            **joined,
        }
        limits = self._limits
        return found | verdict(found, limits.objective, limits.max_lag_ms)

    def _counters(self) -> dict[str, BrokerCounters | BridgeCounters]:
        found: dict[str, BrokerCounters | BridgeCounters] = {}
        if reader := self._watch.reader:
            found["broker"] = BrokerCounters(reader, f"egiz-sim-sys-{self._boot}")
        if self._watch.bridge:
            found["bridge"] = BridgeCounters(self._watch.bridge)
        return found

    def _observers(self, load: Load, ledger: Ledger) -> list[Observer]:
        order: dict[str, Any] = {
            "facility": load.facility,
            "boot": ledger.boot,
            "devices": load.names,
        }
        found = []
        if ledger.live and (reader := self._watch.reader):
            client_id = f"egiz-sim-live-{ledger.boot}"
            live = {"client_id": client_id, "broker": link.to_json(reader)}
            found.append(Observer("live", order | live, ledger.live.see))
        if ledger.stored and (store := self._watch.store):
            place = order | store.order
            found.append(Observer(store.module, place, ledger.stored.see))
        return found


def _percent(cpu_s: float, ledger: Ledger) -> float | None:
    """Of a core, while it sent; None if it did not."""
    sending_s = ledger.sent[-1] - ledger.sent[0] if ledger.sent else 0.0
    return round(100 * cpu_s / sending_s, 1) if sending_s else None


@contextlib.asynccontextmanager
async def connected(
    broker: Broker,
    load: Load,
    watch: Watch,
    limits: Limits,
    stop: asyncio.Event,
    say: Callable[[str], None],
) -> AsyncIterator[Runner]:
    """Connect the devices of a load; disconnect them at the end.

    Args:
        broker: where they connect.
        load: whose devices.
        watch: where their messages are looked for.
        limits: what the figures are held against.
        stop: set to end it.
        say: called now and then while they connect.

    Raises:
        UnreachableError: if not all of them can.
    """
    generator = Generator(broker, load)
    try:
        await generator.connect(load.connect_s, stop, say)
        yield Runner(broker, generator, watch, limits)
    finally:
        await generator.close()


@contextlib.asynccontextmanager
async def _observing(observers: list[Observer]) -> AsyncIterator[list[Observer]]:
    try:
        for observer in observers:
            await observer.start()
        yield observers
        for observer in observers:
            await observer.stop()
    finally:
        for observer in observers:
            await observer.kill()
