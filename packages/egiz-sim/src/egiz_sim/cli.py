"""The command `egiz-sim`."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from egiz_schema.topics import FACILITY_MAX, is_facility
from rich.console import Console

from egiz_sim.demo.parts import PartError
from egiz_sim.demo.run import run_demo
from egiz_sim.fleet import Fleet, Plan, UnreachableError
from egiz_sim.ledger import ledger, show
from egiz_sim.mqtt import Broker

EXIT_UNBALANCED = 1

_PROGRESS_EVERY_S = 2.0
_FILES_BESIDE_SOCKETS = 64


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="egiz-sim")
def main() -> None:
    """Simulate a factory's sensors, and account for every message."""


@main.command()
@click.option(
    "--devices",
    default=10,
    show_default=True,
    type=click.IntRange(1, 50_000),
    help="How many, each with a connection of its own.",
)
@click.option(
    "--rate",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.001, 1000),
    metavar="HZ",
    help="Messages a second, of each device.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="For how long.",
)
@click.option(
    "--broker",
    default="mqtt://localhost:1883",
    show_default=True,
    metavar="URL",
    help="mqtt://[user@]host[:port]. The password comes from EGIZ_SIM_MQTT_PASSWORD.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same readings.")
@click.option("--facility", default="factory", show_default=True)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]),
    help="Time of the first reading, UTC unless it says otherwise; else now. With it, "
    "the same seed gives the same telemetry to the byte.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the ledger to this file, as JSON.",
)
def run(  # noqa: PLR0913, PLR0917  # one argument for each option
    devices: int,
    rate: float,
    seconds: float,
    broker: str,
    seed: int,
    facility: str,
    start: datetime | None,
    report: Path | None,
) -> None:
    """Publish as a fleet of ovens, mixers, conveyors and freezers.

    \b
    A thousand devices, 10 messages a second each, for a minute:
      egiz-sim run --devices 1000 --rate 10 --seconds 60 --report ledger.json
    \b
    Exit codes: 0 every message was acknowledged, 1 some were not, 2 wrong usage.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    plan = Plan(devices, rate, seconds, seed, _facility(facility), _epoch_ms(start))
    fleet = Fleet(_broker(broker), plan)
    _allow_sockets(devices)
    try:
        asyncio.run(_run(fleet))
    except (UnreachableError, OverflowError) as fault:
        click.echo(f"egiz-sim: {fault}", err=True)
        sys.exit(EXIT_UNBALANCED)
    told = ledger(fleet)
    show(told, Console())
    if report:
        report.write_text(json.dumps(told, indent=1) + "\n")
    if not told["balanced"]:
        sys.exit(EXIT_UNBALANCED)


@main.command()
@click.option(
    "--seconds",
    envvar="DEMO_SECONDS",
    type=click.FloatRange(1),
    help="Stop by itself after this time.  [env: DEMO_SECONDS; default: at Ctrl-C]",
)
@click.option(
    "--broker",
    type=click.Choice(["auto", "mosquitto", "embedded"]),
    default="auto",
    show_default=True,
    help="Mosquitto if it is installed, else the embedded one; or say which.",
)
def demo(seconds: float | None, broker: str) -> None:
    """Show the whole thing: broker, bridge, archive, 24 devices and the real firmware.

    Everything is started on free ports and stopped at the end; the archive stays.

    \b
    Exit codes: 0 every message published is archived, 1 one is not, or a part failed.
    """  # noqa: D301  # as above
    try:
        is_balanced = run_demo(broker, seconds, Console())
    except (PartError, UnreachableError) as fault:
        raise click.ClickException(str(fault)) from None
    if not is_balanced:
        sys.exit(EXIT_UNBALANCED)


async def _run(fleet: Fleet) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    progress = asyncio.create_task(_progress(fleet))
    try:
        await fleet.run(stop)
    finally:
        progress.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await progress


async def _progress(fleet: Fleet) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_EVERY_S)
        connected = [d for d in fleet.devices if d.publisher.is_connected]
        away = next((d for d in fleet.devices if d not in connected), None)
        why = f" ({away.publisher.fault}; retrying)" if away else ""
        click.echo(
            f"{len(connected)}/{len(fleet.devices)} connected{why},"
            f" {fleet.published:,} published, {fleet.acknowledged:,} acknowledged",
            err=True,
        )


def _facility(text: str) -> str:
    if not is_facility(text):
        raise click.UsageError(
            f"--facility {text!r}: words of a-z, 0-9 and _ joined by single hyphens,"
            f" at most {FACILITY_MAX} characters"
        )
    return text


def _broker(url: str) -> Broker:
    try:
        return Broker.from_url(url, os.environ.get("EGIZ_SIM_MQTT_PASSWORD"))
    except ValueError as fault:
        raise click.UsageError(f"--broker: {fault}") from None


def _epoch_ms(start: datetime | None) -> int | None:
    if start is None:
        return None
    aware = start if start.tzinfo else start.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def _allow_sockets(count: int) -> None:
    """Raise the soft limit of open files, or say who can."""
    wanted = count + _FILES_BESIDE_SOCKETS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < wanted:
        raise click.UsageError(
            f"--devices {count} needs {wanted} open files, and this account may have"
            f" {hard}: raise it with `ulimit -Hn` or LimitNOFILE"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
