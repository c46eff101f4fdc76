"""Many devices in one process, on one schedule."""

import asyncio
import hashlib
import random
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from egiz_sim.behaviour import Behaviour
from egiz_sim.broker import Broker
from egiz_sim.device import Device
from egiz_sim.machines import fleet as machines
from egiz_sim.schedule import Schedule
from egiz_sim.shifts import ROUND_THE_CLOCK, Calendar, Since
from egiz_sim.updates import Outcome, Timing
from egiz_sim.waiting import until

CONNECT_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 30.0

# While behind schedule, after how many messages the loop reads what the broker sent.
_YIELD_EVERY = 50
_POLL_S = 0.05
_TICK_S = 0.002  # between two looks at what is due: fewer wake-ups, less CPU


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
        ramp_s: over how long the connections are made, one after the other.
        shifts: when the plant works.
        sensor_faults: share of the devices that have a sensor which fails.
        updates: outcome of updates to share of the devices; good for the others.
        timing: how long updates and restarts take.
        idle_s: how long after the first reading the plant begins to work.
    """

    devices: int
    rate_hz: float
    seconds: float | None
    seed: int
    facility: str = "factory"
    start_ms: int | None = None
    ramp_s: float = 0.0
    shifts: Calendar = ROUND_THE_CLOCK
    sensor_faults: float = 0.0
    updates: Mapping[Outcome, float] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    idle_s: float = 0.0

    def behaviour(self, device_id: str) -> Behaviour:
        """Of one device; the same for the same seed."""
        drawn = random.Random(f"{self.seed}/{device_id}/update").random()
        outcome: Outcome = "good"
        for each, share in self.updates.items():
            if 0 <= drawn < share:
                outcome = each
            drawn -= share
        return Behaviour(1000 / self.rate_hz, outcome, self.timing)


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
        begun: set at the first reading.
    """

    def __init__(self, broker: Broker, plan: Plan) -> None:
        self.broker = broker
        self.plan = plan
        self.latencies_s = array("d")
        self.lags_s = array("d")
        self.devices = [
            Device(
                *(broker, plan.facility, device_id, machine),
                plan.behaviour(device_id),
                self.latencies_s.append,
            )
            for device_id, machine in machines(
                plan.devices, plan.seed, plan.sensor_faults
            )
        ]
        self.started_ms = 0
        self.begun = asyncio.Event()

    @property
    def has_connected(self) -> bool:
        """Whether each device has been connected."""
        return all(device.publisher.connections for device in self.devices)

    @property
    def published(self) -> int:
        """Messages published, or waiting for a connection."""
        return sum(device.counts.published.total() for device in self.devices)

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged."""
        return sum(device.counts.acknowledged.total() for device in self.devices)

    @property
    def dropped(self) -> int:
        """Readings for which there was no room in an outage."""
        return sum(device.dropped for device in self.devices)

    @property
    def digest(self) -> str:
        """SHA-256 of all readings, device by device, as they were measured.

        The same plan gives the same, on a machine of any speed and behind any broker,
        unless its `start_ms` is None, or an order changes what a device does.
        """
        whole = hashlib.sha256()
        for device in self.devices:
            whole.update(device.digest.digest())
        return whole.hexdigest()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until the plan is done or `stop` is set, and wait for the last PUBACK.

        A connection that breaks is made again. Ends, with less acknowledged than
        published, if a PUBACK is still missing 30 s after the last message.

        Raises:
            UnreachableError: if not all devices are connected within 30 s.
            OverflowError: if 65,535 messages of a device wait for their PUBACK.
        """
        tasks = [
            asyncio.create_task(self._run_one(number, device))
            for number, device in enumerate(self.devices)
        ]
        try:
            await self._connect(stop)
            await self._publish(stop)
            limit = time.monotonic() + DRAIN_TIMEOUT_S
            await until(lambda: not any(d.waiting for d in self.devices), limit)
            for device in self.devices:
                device.report("offline")
            await until(self._is_acknowledged, limit)
            await asyncio.gather(*(device.close() for device in self.devices))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_acknowledged(self) -> bool:
        return self.acknowledged + self.dropped == self.published

    async def _run_one(self, number: int, device: Device) -> None:
        await asyncio.sleep(self.plan.ramp_s * number / len(self.devices))
        await device.publisher.run()

    async def _connect(self, stop: asyncio.Event) -> None:
        def connected() -> bool:
            return stop.is_set() or self.has_connected

        limit = time.monotonic() + self.plan.ramp_s + CONNECT_TIMEOUT_S
        if not await until(connected, limit):
            missing = [d for d in self.devices if not d.publisher.connections]
            raise UnreachableError(
                f"{len(missing)} of {len(self.devices)} devices could not connect to"
                f" {self.broker}: {missing[0].publisher.error}"
            )

    async def _publish(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        now_ms = time.time_ns() // 1_000_000
        self.started_ms = now_ms if self.plan.start_ms is None else self.plan.start_ms
        begun = loop.time()
        schedule = self._schedule(begun)
        self.begun.set()
        number = 0
        while (due_s := schedule.next_s()) is not None and not stop.is_set():
            ahead_s = begun + due_s - loop.time()
            if ahead_s > 0:
                # Not longer: an order may change what is due next.
                await asyncio.sleep(min(max(ahead_s, _TICK_S), _POLL_S))
                continue
            if number % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
            number += 1
            due_s, device = schedule.take()
            self.lags_s.append(max(0.0, loop.time() - begun - due_s))
            self.devices[device].measure(self.started_ms + round(due_s * 1000))
        if self.plan.seconds is not None and not stop.is_set():
            await until(stop.is_set, time.monotonic() + self._left_s(begun))

    def _left_s(self, begun: float) -> float:
        """Until the end of the plan: orders are obeyed as long as that."""
        now = asyncio.get_running_loop().time()
        return max(0.0, begun + (self.plan.seconds or 0.0) - now)

    def _schedule(self, begun: float) -> Schedule:
        """Of all devices, which may change it; they learn what time it is."""
        clock = asyncio.get_running_loop().time
        rates = [device.settings.publish_ms / 1000 for device in self.devices]
        schedule = Schedule(rates, self.plan.seconds)

        def elapsed_s() -> float:
            return clock() - begun

        def now_ms() -> int:
            return self.started_ms + round(elapsed_s() * 1000)

        def changed(number: int, device: Device) -> Callable[[], None]:
            return lambda: schedule.change(
                number, device.settings.publish_ms / 1000, elapsed_s()
            )

        shifts = self.plan.shifts
        if self.plan.idle_s:
            shifts = Since(self.started_ms / 1000 + self.plan.idle_s)
        for number, device in enumerate(self.devices):
            device.begin(self.started_ms, shifts)
            device.now_ms = now_ms
            device.on_rate = changed(number, device)
        return schedule
