"""A scenario from start to verdict."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from egiz_sim.broker import Broker
from egiz_sim.demo.interrupt import Interrupt
from egiz_sim.fleet import CONNECT_TIMEOUT_S, Fleet, Plan, UnreachableError
from egiz_sim.mqtt import Publisher
from egiz_sim.progress import show_progress
from egiz_sim.scenario import plant as own
from egiz_sim.scenario.model import OF_OWN_PARTS, Rogue, Scenario
from egiz_sim.scenario.operator import Operator
from egiz_sim.scenario.plant import Plant
from egiz_sim.scenario.rogue import RogueDevice
from egiz_sim.scenario.script import Script
from egiz_sim.scenario.verdict import Check, Run, checks
from egiz_sim.updates import Timing
from egiz_sim.waiting import until

_POLL_S = 0.05
_LAST_TIMEOUT_S = 30.0  # generous: a machine may be busy


def needs_own_parts(scenario: Scenario) -> list[str]:
    """The events that only a run with a broker and a bridge of its own can do."""
    events = [event for event in scenario.event if isinstance(event, OF_OWN_PARTS)]
    return sorted({str(event.__struct_config__.tag) for event in events})


def plan_of(scenario: Scenario, facility: str, usual_s: float) -> Plan:
    """What its fleet does; updates are as fast as the scenario was made.

    Args:
        scenario: as it is to run.
        facility: of the topics.
        usual_s: how long the scenario lasts if nothing else is said.
    """
    table = scenario.fleet
    factor = table.seconds / usual_s
    return Plan(
        *(table.devices, table.rate_hz, table.seconds, table.seed, facility),
        ramp_s=table.ramp_s,
        sensor_faults=table.sensor_faults,
        updates=table.updates,
        timing=Timing(*(factor * seconds for seconds in Timing())),
        idle_s=table.shift_begins_s,
    )


def run_on_own_parts(
    scenario: Scenario, plan: Plan, say: Callable[[str], None]
) -> tuple[Fleet, list[Check]]:
    """Run with a broker, a bridge and an archive in a directory here.

    Raises:
        PartError: if one of them does not run.
        UnreachableError: if the devices cannot connect.
    """
    directory = Path(f"scenario-{datetime.now():%Y%m%d-%H%M%S-%f}").absolute()  # noqa: DTZ005  # a name for a person
    directory.mkdir()
    with Interrupt() as interrupt, own.running(directory, interrupt) as plant:
        say(f"Broker, bridge and archive: {directory}")
        return asyncio.run(_perform(scenario, plan, plant.address, plant, interrupt))


def run_at(scenario: Scenario, plan: Plan, broker: Broker) -> tuple[Fleet, list[Check]]:
    """Run at a broker that is there.

    Raises:
        UnreachableError: if the devices cannot connect.
    """
    with Interrupt() as interrupt:
        return asyncio.run(_perform(scenario, plan, broker, None, interrupt))


async def _perform(
    scenario: Scenario,
    plan: Plan,
    broker: Broker,
    plant: Plant | None,
    interrupt: Interrupt,
) -> tuple[Fleet, list[Check]]:
    fleet = Fleet(broker, plan)
    operator = Operator(broker, plan.facility)
    rogue = RogueDevice(broker, plan.facility)
    script = Script(scenario, fleet, operator, rogue, plant)
    others = [operator.publisher]
    if any(isinstance(event, Rogue) for event in scenario.event):
        others.append(rogue.publisher)
    async with _connected(others, broker, interrupt):
        stop = asyncio.Event()
        beside = (script.run(), _watch(interrupt, stop), show_progress(fleet))
        await _together(fleet.run(stop), *beside)
        limit = monotonic() + _LAST_TIMEOUT_S
        await until(lambda: not any(one.unacknowledged for one in others), limit)
        # What the broker has acknowledged may still be on its way to the operator.
        await until(lambda: _have_ended(fleet, operator), limit)
    if plant is not None:
        readings = [d.counts.acknowledged["telemetry"] for d in fleet.devices]
        await plant.until_archived(sum(readings))
    archive = plant.archive if plant else None
    rejected = await plant.rejected(rogue.acknowledged) if plant else None
    run = Run(scenario, fleet, script, operator, rogue, archive, rejected)
    return fleet, checks(run)


def _have_ended(fleet: Fleet, operator: Operator) -> bool:
    """Whether the last status of each device has come to the operator."""
    names = [device.device_id for device in fleet.devices]
    return all(operator.states.get(name) == "offline" for name in names)


@contextlib.asynccontextmanager
async def _connected(
    clients: list[Publisher], broker: Broker, interrupt: Interrupt
) -> AsyncIterator[None]:
    """Connect those beside the fleet, before it; disconnect them after it."""
    tasks = [asyncio.create_task(client.run()) for client in clients]
    try:
        limit = monotonic() + CONNECT_TIMEOUT_S

        def is_over() -> bool:
            return interrupt.is_set or all(c.is_connected for c in clients)

        is_in_time = await until(is_over, limit)
        interrupt.check()
        if not is_in_time:
            raise UnreachableError(
                f"the operator cannot connect to {broker}: {clients[0].error}"
            )
        yield
        await asyncio.gather(*(client.close() for client in clients))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _together(
    fleet: Coroutine[Any, Any, None], *others: Coroutine[Any, Any, None]
) -> None:
    """Until the fleet is done; what another raises ends it."""
    whole = asyncio.create_task(fleet)
    beside = [asyncio.create_task(other) for other in others]
    try:
        while not whole.done():
            running = [task for task in beside if not task.done()]
            await asyncio.wait([whole, *running], return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                if task.done():
                    task.result()
        await whole
    finally:
        for task in (whole, *beside):
            task.cancel()
        await asyncio.gather(whole, *beside, return_exceptions=True)


async def _watch(interrupt: Interrupt, stop: asyncio.Event) -> None:
    """Ctrl-C ends the fleet in good order."""
    while not interrupt.is_set:  # noqa: ASYNC110  # a signal handler sets it
        await asyncio.sleep(_POLL_S)
    stop.set()
