"""Many devices in one process, on one schedule."""

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from egiz_sim.broker import Broker
from egiz_sim.device import Device
from egiz_sim.machines import fleet as machines

CONNECT_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 30.0

# While behind schedule, after how many messages the loop reads what the broker sent.
_YIELD_EVERY = 50
_POLL_S = 0.05


class UnreachableError(Exception):
    """Not all devices could connect; the message names the broker and why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet does.

    Attributes:
        devices: how many, 1 or more.
        rate_hz: messages a second of each device, above 0 and at most 1000.
        seconds: how long they publish, above 0; None is until stopped.
        seed: the same seed gives the same readings.
        facility: of their topics, as `egiz_schema.topics.is_facility` allows.
        start_ms: the time of the first reading, ms since 1970; None is now.
    """

    devices: int
    rate_hz: float
    seconds: float | None
    seed: int
    facility: str = "factory"
    start_ms: int | None = None


class Fleet:
    """Connects, publishes on schedule, reports offline, waits for the last PUBACK.

    Args:
        broker: where all devices connect, each with a connection of its own.
        plan: what they publish.

    Attributes:
        devices: in the order in which they publish.
        latencies_s: seconds from each publish to its PUBACK.
        lags_s: by how many seconds each reading was published late.
        started_ms: the time of the first reading, ms since 1970; 0 before it.
    """

    def __init__(self, broker: Broker, plan: Plan) -> None:
        self.broker = broker
        self.plan = plan
        self.latencies_s = array("d")
        self.lags_s = array("d")
        self.devices = [
            Device(broker, plan.facility, device_id, machine, self.latencies_s.append)
            for device_id, machine in machines(plan.devices, plan.seed)
        ]
        self.started_ms = 0

    @property
    def published(self) -> int:
        """Messages published, or waiting for a connection."""
        return sum(device.counts.published.total() for device in self.devices)

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged."""
        return sum(device.counts.acknowledged.total() for device in self.devices)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the plan is done or `stop` is set, and wait for the last PUBACK.

        A connection that breaks is made again. Ends, with less acknowledged than
        published, if a PUBACK is still missing 30 s after the last message.

        Raises:
            UnreachableError: if not all devices are connected within 30 s.
            OverflowError: if 65,535 messages of a device wait for their PUBACK.
        """
        tasks = [asyncio.create_task(d.publisher.run()) for d in self.devices]
        try:
            await self._connect(stop)
            await self._publish(stop)
            for device in self.devices:
                if device.publisher.connections:
                    device.report_offline()
            await _until(lambda: self.acknowledged == self.published, DRAIN_TIMEOUT_S)
            await asyncio.gather(*(d.publisher.close() for d in self.devices))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, stop: asyncio.Event) -> None:
        def connected() -> bool:
            return stop.is_set() or all(d.publisher.is_connected for d in self.devices)

        if not await _until(connected, CONNECT_TIMEOUT_S):
            missing = [d for d in self.devices if not d.publisher.is_connected]
            raise UnreachableError(
                f"{len(missing)} of {len(self.devices)} devices could not connect to"
                f" {self.broker}: {missing[0].publisher.error}"
            )

    async def _publish(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        self.started_ms = self.plan.start_ms or time.time_ns() // 1_000_000
        period_s = 1 / self.plan.rate_hz
        begun = loop.time()
        for number, after_s in self._schedule():
            ahead_s = begun + after_s - loop.time()
            if ahead_s > 0:
                await _sleep(ahead_s, stop)
            elif number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if stop.is_set():
                return
            self.lags_s.append(max(0.0, loop.time() - begun - after_s))
            device = self.devices[number % len(self.devices)]
            device.publish(self.started_ms + round(after_s * 1000), period_s)

    def _schedule(self) -> Iterator[tuple[int, float]]:
        """(number, seconds after the start) of each message; devices alternate."""
        gap_s = 1 / (self.plan.rate_hz * len(self.devices))
        seconds = self.plan.seconds
        number = 0
        while seconds is None or number * gap_s < seconds:
            yield number, number * gap_s
            number += 1


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but not past `stop`."""
    if seconds < _POLL_S:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _until(is_true: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; gives whether it was true in time."""
    until = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(_POLL_S)
    return True
