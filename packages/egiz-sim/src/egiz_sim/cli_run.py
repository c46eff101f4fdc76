"""The command `egiz-sim run`."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import click
from egiz_cli import (
    DONE,
    FAILED,
    INTERRUPTED,
    OutputFile,
    Real,
    command,
    ending_signals,
)
from rich.console import Console

from egiz_sim.broker import Broker
from egiz_sim.cli_broker import broker_options, facility_option
from egiz_sim.cli_scenario import is_typed, run_scenario
from egiz_sim.fleet import Fleet, Plan, UnreachableError
from egiz_sim.ledger import ledger, show
from egiz_sim.options import check_times, option, shares
from egiz_sim.progress import show_progress
from egiz_sim.reports import reporting
from egiz_sim.shifts import ROUND_THE_CLOCK, Shifts
from egiz_sim.sockets import allow_sockets
from egiz_sim.updates import OUTCOMES


@command(
    exit_codes={
        DONE: "every message was acknowledged; of a scenario: the verdict is green",
        FAILED: "it was not, or broker or a part of a scenario cannot be reached",
    },
)
@click.option(
    "--devices",
    default=10,
    show_default=True,
    type=click.IntRange(1, 50_000),
    help="Simulated devices, each with its own connection.",
)
@click.option(
    "--rate",
    default=1.0,
    show_default=True,
    type=Real(0.001, 1000),
    metavar="HZ",
    help="Messages a second, of each device.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=Real(0, min_open=True),
    help="How long it publishes.",
)
@broker_options
@click.option(
    "--seed",
    default=1,
    show_default=True,
    help="The same seed gives the same readings.",
)
@facility_option("factory", "The place, as it stands in the topic.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]),
    metavar="TIME",
    help="Time of the first reading, as 2026-01-31T12:00:00, in UTC, or with an offset "
    "as +0200 at its end. Default: now. With it, the same "
    "seed gives the same telemetry to the byte.",
)
@click.option(
    "--ramp",
    default=0.0,
    show_default=True,
    type=Real(0),
    metavar="SECONDS",
    help="Make the connections one after the other, over so long.",
)
@click.option(
    "--shifts",
    metavar="DAYS HOURS",
    help="When the plant works, in UTC, as 'mon-fri 06:00-22:00'. Default: always.",
)
@click.option(
    "--sensor-faults",
    default=0.0,
    show_default=True,
    type=Real(0, 1),
    metavar="SHARE",
    help="Share of the devices that have a sensor which fails, 0 to 1.",
)
@click.option(
    "--updates",
    metavar="OUTCOME[:SHARE],...",
    help=f"How updates end: {', '.join(OUTCOMES)}. Default: good, as those for which "
    "there is no share.",
)
@click.option(
    "--scenario",
    metavar="NAME|FILE",
    help="Run a scenario, which `egiz-sim scenarios` lists, with the options that are "
    "given here. Without --broker, it starts a broker, a bridge and an archive.",
)
@click.option(
    "--report",
    type=OutputFile(),
    help="Write the ledger to this file, as JSON.",
)
def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    devices: int,
    rate: float,
    seconds: float,
    broker: Broker,
    seed: int,
    facility: str,
    start: datetime | None,
    ramp: float,
    shifts: str | None,
    sensor_faults: float,
    updates: str | None,
    scenario: str | None,
    report: Path | None,
) -> None:
    """Publish as a fleet of ovens, silos and other machines.

    Cold rooms measure humidity and whether the door is open, silos their weight,
    packing lines count pieces: their births declare it as channels.

    Devices obey config and commands, keep their readings in an outage and send them
    after it, and play updates.

    \b
    A thousand devices, 10 messages a second each, for a minute:
      egiz-sim run --devices 1000 --rate 10 --seconds 60 --report ledger.json
    \b
    With the certificates that egiz-infra has issued to oven-001 and so on:
      egiz-sim run --broker mqtts://broker.factory --ca ca.pem \\
        --cert issued/{device}/certificate.der --key issued/{device}/key.der
    \b
    A fault, on a broker, a bridge and an archive of its own, and in ten seconds:
      egiz-sim run --scenario wifi-outage --seconds 10
    """  # noqa: D301  # as above
    calendar = option("--shifts", Shifts.parse, shifts) or ROUND_THE_CLOCK
    outcomes = option("--updates", shares, updates) or {}
    if scenario is not None:
        options = click.get_current_context().params | {"updates": outcomes}
        theirs = broker if is_typed("broker") else None
        run_scenario(scenario, theirs, facility, options, report)
        return
    plan = Plan(
        *(devices, rate, seconds, seed, facility, _epoch_ms(start)),
        ramp_s=ramp,
        shifts=calendar,
        sensor_faults=sensor_faults,
        updates=outcomes,
    )
    check_times(plan)
    fleet = Fleet(broker, plan)
    allow_sockets(devices)
    try:
        asyncio.run(_run(fleet))
    except (UnreachableError, OverflowError) as error:
        raise click.ClickException(str(error)) from None
    totals = ledger(fleet)
    content = (json.dumps(totals, indent=1) + "\n").encode()
    with reporting({report: content} if report else {}):
        show(totals, Console())
    if not fleet.has_connected:  # what was to be published is not even in the ledger
        raise click.exceptions.Exit(INTERRUPTED)
    if not totals["balanced"]:
        raise click.exceptions.Exit(FAILED)


async def _run(fleet: Fleet) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)
    progress = asyncio.create_task(show_progress(fleet))
    try:
        await fleet.run(stop)
    finally:
        progress.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await progress


def _epoch_ms(start: datetime | None) -> int | None:
    if start is None:
        return None
    aware = start if start.tzinfo else start.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
