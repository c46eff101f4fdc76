"""The command `egiz-sim load`."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

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

from egiz_sim.broker import Broker, TlsFiles
from egiz_sim.cli_broker import broker_of, broker_options, facility_option
from egiz_sim.fleet import UnreachableError
from egiz_sim.load import stores
from egiz_sim.load.generator import Load
from egiz_sim.load.html import html as as_html
from egiz_sim.load.junit import junit as as_junit
from egiz_sim.load.observer import ObserverError
from egiz_sim.load.run import Limits, Report, Watch, connected
from egiz_sim.load.search import RATE_MAX, search
from egiz_sim.load.system import MetricsError
from egiz_sim.load.verdict import Objective
from egiz_sim.load.view import progress, show
from egiz_sim.reports import reporting
from egiz_sim.sockets import allow_sockets

_MESSAGES_MAX = 20_000_000


@command(
    exit_codes={
        DONE: "every message arrived, and the objective is kept (--search: at a rate)",
        FAILED: "one did not, the objective is missed, or it is not known",
    },
)
@broker_options
@click.option(
    "--rate",
    default=100.0,
    show_default=True,
    type=Real(0.1, RATE_MAX),
    metavar="N",
    help="Messages a second, of all devices together.",
)
@click.option(
    "--search",
    "is_search",
    is_flag=True,
    help="Find the highest rate that passes; needs --p99, and begins at --rate.",
)
@click.option(
    "--devices",
    default=100,
    show_default=True,
    type=click.IntRange(1, 50_000),
    help="Each has a connection of its own; they send in turn.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=Real(0, 86_400, min_open=True),
    help="How long it sends; with --search, at each rate.",
)
@click.option(
    "--connect",
    default=60.0,
    show_default=True,
    type=Real(0, 3600, min_open=True),
    metavar="S",
    help="How long connecting all devices may last.",
)
@click.option(
    "--drain",
    default=10.0,
    show_default=True,
    type=Real(0, 3600, min_open=True),
    metavar="S",
    help="It ends when nothing that is still missing came for so long.",
)
@click.option(
    "--p99",
    type=Real(0, 3_600_000, min_open=True),
    metavar="MS",
    help="Objective: 99 of 100 messages reach the last watched place in this time.",
)
@click.option(
    "--live/--no-live",
    "is_live",
    default=True,
    show_default=True,
    help="Subscribe, and look for each message.",
)
@click.option(
    "--live-broker",
    metavar="URL",
    help="Where a service may subscribe, and its account, if that is not --broker. Its"
    " password is EGIZ_SIM_LIVE_PASSWORD.",
)
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Look for each message in the bridge's SQLite archive.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Look in a database: influxdb1://[user@]host[:port]/database, "
    "influxdb2://host[:port]/org/bucket or victoriametrics://host[:port]; +https "
    "before :// is TLS. Password or token: EGIZ_SIM_DATABASE_SECRET.",
)
@click.option(
    "--bridge",
    metavar="URL",
    help="HTTP server of the bridge: its own counts join the report.",
)
@click.option(
    "--max-lag",
    default=100.0,
    show_default=True,
    type=Real(0, 60_000, min_open=True),
    metavar="MS",
    help="If this program itself is later (p99), the result is unknown.",
)
@click.option(
    "--late",
    default=5.0,
    show_default=True,
    type=Real(0, 86_400),
    metavar="S",
    help="A message after this time is counted as late.",
)
@facility_option(
    "load", "The place, as it stands in the topic: keep it apart from real ones."
)
@click.option("--seed", default=1, show_default=True, help="Of the readings.")
@click.option("--report", type=OutputFile(), help="Write the ledger as JSON.")
@click.option("--junit", type=OutputFile(), help="Write the checks as JUnit's XML.")
@click.option(
    "--html",
    type=OutputFile(),
    help="Write a page with plots; it needs no network.",
)
def load(  # noqa: PLR0913, PLR0917  # one argument for each option
    broker: Broker,
    rate: float,
    is_search: bool,
    devices: int,
    seconds: float,
    connect: float,
    drain: float,
    p99: float | None,
    is_live: bool,
    live_broker: str | None,
    archive: Path | None,
    database: str | None,
    bridge: str | None,
    max_lag: float,
    late: float,
    facility: str,
    seed: int,
    report: Path | None,
    junit: Path | None,
    html: Path | None,
) -> None:
    """Hold a rate, and account for every message.

    Each message is sent when it is due, whether or not the system has answered the ones
    before (an open loop). Times count from when it was due, so a system that stops for
    a second has a second of late messages, not one late message.

    A message is known by device, boot and seq, and is looked for at the broker
    (PUBACK), at a live subscriber, and with --archive or --database where it is
    stored. If this program is too slow itself, the result is "unknown": the system is
    not blamed.

    Device ids are those of `egiz-sim run`. A device of the same id that is connected to
    this broker would lose its connection: use a broker of your own, or other ids.

    \b
    10,000 messages a second of 1,000 devices, with an objective of 500 ms:
      egiz-sim load --devices 1000 --rate 10000 --p99 500
    \b
    The highest rate at which 99 of 100 messages are seen live within 200 ms:
      egiz-sim load --search --p99 200 --devices 200 --seconds 5
    \b
    With a certificate for each device; the account of a service subscribes:
      egiz-sim load --broker mqtts://broker.factory --ca ca.pem \\
        --cert issued/{device}/certificate.der --key issued/{device}/key.der \\
        --live-broker mqtt://egizcore@localhost:1883
    \b
    As far as the database, with the bridge's own counts:
      egiz-sim load --rate 500 --archive egiz-archive.sqlite \\
        --bridge http://127.0.0.1:8080 --html report.html
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    if is_search and p99 is None:
        raise click.UsageError("--search needs --p99, the objective that it keeps")
    if rate * seconds > _MESSAGES_MAX:
        reason = f"--rate times --seconds is more than {_MESSAGES_MAX:,} messages"
        raise click.UsageError(f"{reason}, whose times must fit in memory")
    wanted = Load(devices, rate, seconds, connect, drain, facility, seed)
    reader = _reader(broker, live_broker, is_live=is_live)
    watch = Watch(is_live, reader, _store(archive, database), _http(bridge))
    limits = Limits(Objective(p99) if p99 else None, max_lag, late)
    allow_sockets(devices)
    try:
        found = asyncio.run(_run(broker, wanted, watch, limits, is_search=is_search))
    except (UnreachableError, ObserverError, MetricsError) as error:
        raise click.ClickException(str(error)) from None
    files = ((report, _json), (junit, as_junit), (html, as_html))
    with reporting({path: write(found).encode() for path, write in files if path}):
        show(found, Console())
    if found["result"] != "passed":
        raise click.exceptions.Exit(FAILED)


def _json(report: Report) -> str:
    return json.dumps(report, indent=1) + "\n"


async def _run(
    broker: Broker, wanted: Load, watch: Watch, limits: Limits, *, is_search: bool
) -> Report:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)
    async with (
        connected(broker, wanted, watch, limits, stop, _say) as runner,
        progress(Console(stderr=True), runner.current),
    ):
        if stop.is_set():  # before all were connected: there is nothing to report
            raise click.exceptions.Exit(INTERRUPTED)
        if not is_search:
            return await runner.run(wanted, stop)

        async def at_rate(rate: float) -> Report:
            return await runner.run(replace(wanted, rate=rate), stop)

        return await search(wanted.rate, at_rate)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _reader(broker: Broker, url: str | None, *, is_live: bool) -> Broker | None:
    """Who subscribes: no device may read what the others send."""
    if url:
        is_tls = url.lower().startswith("mqtts:")
        ca = TlsFiles(broker.tls.ca) if is_tls and broker.tls else None
        password = os.environ.get("EGIZ_SIM_LIVE_PASSWORD")
        return broker_of("--live-broker", url, password, ca)
    if not broker.tls or "{device}" not in (broker.tls.cert or ""):
        return broker
    if is_live:
        reason = "no device may read what others send: give --live-broker or --no-live"
        raise click.UsageError(f"--cert is of each device, and {reason}")
    return None


def _store(archive: Path | None, database: str | None) -> stores.Store | None:
    if archive and database:
        raise click.UsageError("--archive and --database: give one of them")
    if archive:
        return stores.archive(archive)
    if database is None:
        return None
    try:
        return stores.database(database, os.environ.get("EGIZ_SIM_DATABASE_SECRET"))
    except ValueError as error:
        raise click.UsageError(f"--database: {error}") from None


def _http(url: str | None) -> str | None:
    if url is None or _is_of_http(url):
        return url
    raise click.UsageError("--bridge: must be http://host[:port], without a user")


def _is_of_http(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or any(c in url for c in " @?#"):
        return False
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and has_port
