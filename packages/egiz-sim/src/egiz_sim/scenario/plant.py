"""What a scenario runs on: broker, bridge and archive of its own."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic

from egiz_sim.broker import Broker as Address
from egiz_sim.demo.interrupt import Interrupt
from egiz_sim.demo.parts import Bridge, Broker, Part
from egiz_sim.demo.services import Ports
from egiz_sim.load.system import BridgeCounters, MetricsError
from egiz_sim.scenario.archive import Archive

_COUNTS = {
    "messages_rejected": "rejected",
    "sink_in_flight": "in_flight",
    "sink_spooled": "spooled",
}
_POLL_S = 0.1
_QUIET_S = 2.0  # nothing more comes after it, unless something waits
_ARCHIVE_TIMEOUT_S = 60.0


class Plant:
    """Broker and bridge, while `running`.

    Args:
        directory: for configurations, archive and logs.
        interrupt: ends the wait for a part.
    """

    def __init__(self, directory: Path, interrupt: Interrupt) -> None:
        self._directory = directory
        self._interrupt = interrupt
        self._ports = Ports.free()
        self._broker = self._started_broker()
        self._bridge: Bridge | None = None
        self.archive = Archive(directory / "archive.sqlite")

    @property
    def address(self) -> Address:
        """Where devices connect."""
        return Address("127.0.0.1", self._ports.mqtt)

    def start_bridge(self) -> None:
        """Start it; raises PartError."""
        args = (self._broker, self._ports.http, self._directory, self._interrupt)
        self._bridge = Bridge(*args)

    async def restart_broker(self, seconds: float) -> None:
        """Stop it, and start it again after so long; raises PartError."""
        await asyncio.to_thread(self._broker.stop)
        await asyncio.sleep(seconds)
        # Not in a thread: Linux ends a part with the thread that has started it.
        self._broker = self._started_broker()

    async def rejected(self, wanted: int) -> int | None:
        """Messages that the bridge has rejected, once there is nothing more to come.

        None if it does not say.
        """

        async def count() -> int:
            return (await self._counts()).get("rejected", 0)

        await self._until(count, wanted)
        return (await self._counts()).get("rejected")

    async def until_archived(self, messages: int) -> None:
        """Wait until so many are archived, or nothing more comes."""

        async def count() -> int:
            return sum(rows.messages for rows in self.archive.telemetry().values())

        await self._until(count, messages)

    async def _until(self, count: Callable[[], Awaitable[int]], wanted: int) -> None:
        limit = monotonic() + _ARCHIVE_TIMEOUT_S
        found, since = -1, monotonic()
        while monotonic() < min(limit, since + _QUIET_S):
            now = await count()
            if now == wanted:
                return
            if now != found or await self._is_waiting():
                found, since = now, monotonic()
            await asyncio.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop what runs."""
        parts: tuple[Part | None, ...] = (self._bridge, self._broker)
        for part in parts:
            if part is not None and part.is_running:
                part.stop()

    def _started_broker(self) -> Broker:
        return Broker("auto", self._ports.mqtt, self._directory, self._interrupt)

    async def _is_waiting(self) -> bool:
        """Whether messages are on their way to the archive."""
        counts = await self._counts()
        return bool(counts.get("in_flight") or counts.get("spooled"))

    async def _counts(self) -> dict[str, int]:
        assert self._bridge is not None
        try:
            return await BridgeCounters(self._bridge.url, _COUNTS).now()
        except MetricsError:
            return {}


@contextlib.contextmanager
def running(directory: Path, interrupt: Interrupt) -> Iterator[Plant]:
    """Start broker and bridge, and stop them at the end.

    Raises:
        PartError: if one does not run.
    """
    plant = Plant(directory, interrupt)
    try:
        plant.start_bridge()
        yield plant
    finally:
        plant.stop()
