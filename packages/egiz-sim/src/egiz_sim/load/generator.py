"""The generator: it sends each message when it is due, whatever the system does.

That is an open loop: a slow answer does not hold back the next message, so it cannot
hide the messages that would have been slow, too (coordinated omission). By how much the
generator itself was late is in the ledger: `sent` - `due`.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from egiz_schema import Status, Topic, encode

from egiz_sim.broker import Broker
from egiz_sim.fleet import UnreachableError
from egiz_sim.load.ledger import Ledger
from egiz_sim.load.messages import Messages
from egiz_sim.machines import fleet
from egiz_sim.mqtt import Outstanding, Publisher

_POLL_S = 0.05
_SAY_EVERY_S = 2.0
_TICK_S = 0.002
_AT_ONCE = 200  # while it is behind: then it reads what the broker sent


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        devices: how many, each with a connection of its own.
        rate: messages a second, of all of them.
        seconds: how long.
        connect_s: how long connecting may last.
        drain_s: it ends when nothing that is missing came for so long.
        facility: of their topics.
        seed: of their readings.
    """

    devices: int
    rate: float
    seconds: float
    connect_s: float
    drain_s: float
    facility: str
    seed: int

    @property
    def names(self) -> list[str]:
        """The device ids, in the order in which they publish."""
        return [name for name, _ in fleet(self.devices, self.seed)]

    @property
    def messages(self) -> int:
        """How many are due."""
        return max(1, round(self.rate * self.seconds))


class Generator:
    """Connects every device once, and sends one load, or several after each other.

    Args:
        broker: where all devices connect.
        load: whose devices connect.
    """

    def __init__(self, broker: Broker, load: Load) -> None:
        self._broker = broker
        self._sources = [
            Messages(load.facility, name, machine)
            for name, machine in fleet(load.devices, load.seed)
        ]
        self._ledger: Ledger | None = None
        self._begun = 0.0
        self._publishers = [
            Publisher(broker, name, _will(load.facility, name), _nothing, self._acked)
            for name in load.names
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def reconnects(self) -> int:
        """Connections that were made again."""
        return sum(max(0, one.connections - 1) for one in self._publishers)

    @property
    def brief(self) -> int:
        """Connections that ended within seconds, of the device with the most."""
        return max(one.brief for one in self._publishers)

    async def connect(
        self, timeout_s: float, stop: asyncio.Event, say: Callable[[str], None]
    ) -> None:
        """Connect all devices.

        Args:
            timeout_s: how long that may last.
            stop: set to end it.
            say: called now and then with how far it is.

        Raises:
            UnreachableError: if not all are connected within this time.
        """
        self._tasks = [asyncio.create_task(one.run()) for one in self._publishers]
        said = time.monotonic()
        until = said + timeout_s
        while missing := [one for one in self._publishers if not one.is_connected]:
            if stop.is_set():
                return
            number, now = len(self._publishers), time.monotonic()
            why = missing[0].error
            if now > until:
                raise UnreachableError(
                    f"{len(missing)} of {number} devices could not"
                    f" connect to {self._broker}: {why}"
                )
            if now - said > _SAY_EVERY_S:
                said = now
                text = f"{number - len(missing):,}/{number:,} connected"
                say(f"{text} ({why}; retrying)" if why else text)
            await asyncio.sleep(_POLL_S)
        # What thousands of devices are made of is not looked through while it sends.
        gc.collect()
        gc.freeze()

    async def send(self, load: Load, ledger: Ledger, stop: asyncio.Event) -> None:
        """Send what is due, and wait until nothing is missing, or nothing comes."""
        self._ledger = ledger
        begun, begun_ms = time.monotonic(), time.time_ns() // 1_000_000
        self._begun = begun
        for number in count():
            due = begun + number / load.rate
            if number == load.messages or stop.is_set():
                break
            if due > time.monotonic():
                await _sleep_until(due, stop)
                if stop.is_set():
                    break
            elif number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            self._send_one(ledger, due, begun_ms + int(1000 * (due - begun)))
        await self._drain(load, ledger, stop)

    async def close(self) -> None:
        """Disconnect in good order: no last will is published."""
        gc.unfreeze()
        await asyncio.gather(*(one.close() for one in self._publishers))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _send_one(self, ledger: Ledger, due: float, time_ms: int) -> None:
        number = ledger.send(due, time.monotonic())
        device, seq = ledger.identity(number)
        source = self._sources[device]
        try:
            self._publishers[device].publish(
                source.topic, source.make(time_ms, ledger.boot, seq), number
            )
        except OverflowError:
            ledger.unsent += 1

    async def _drain(self, load: Load, ledger: Ledger, stop: asyncio.Event) -> None:
        progress, until = ledger.progress, time.monotonic() + load.drain_s
        while not ledger.is_complete and time.monotonic() < until:
            if stop.is_set():
                return
            await asyncio.sleep(_POLL_S)
            if ledger.progress != progress:
                progress, until = ledger.progress, time.monotonic() + load.drain_s

    def _acked(self, message: Outstanding, latency_s: float) -> None:
        # Of an earlier load, what was still missing then may come now.
        if self._ledger is not None and message.sent >= self._begun:
            self._ledger.acknowledge(message.number, message.sent + latency_s)


async def _sleep_until(due: float, stop: asyncio.Event) -> None:
    """Until a message is due; two milliseconds at least, and not past `stop`."""
    seconds = max(_TICK_S, due - time.monotonic())
    if seconds < _POLL_S:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _will(facility: str, name: str) -> tuple[str, bytes]:
    status = Status(device_id=name, state="offline")
    return str(Topic(facility, name, "status")), encode(status)


def _nothing() -> None:
    """A load has no births: they would be messages beside those it counts."""
