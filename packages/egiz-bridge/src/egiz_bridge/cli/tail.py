"""The command `egiz-bridge tail`."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from egiz_bridge.cli.live import Filter, Rates, Seen, live
from egiz_bridge.cli.spool import EXIT_CONFIG, config_option
from egiz_bridge.config.settings import load
from egiz_bridge.errors import ConfigError, MqttError
from egiz_bridge.mqtt.broker import broker_of

_EXIT_NO_BROKER = 1
_EXIT_CTRL_C = 130
_RATES_EVERY_S = 1.0


@click.command()
@config_option
@click.option("--facility", default="*", help="Only these; * and ? stand for anything.")
@click.option("--device", default="*", help="Only these device ids; globs, too.")
@click.option("--kind", default="*", help="Only telemetry, status, config or command.")
@click.option("--retained", is_flag=True, help="Also what the broker had kept.")
@click.option("--rates", is_flag=True, help="Messages a second instead of messages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
@click.option("--count", type=int, help="Stop after so many messages.")
@click.option("--seconds", type=float, help="Stop after so many seconds.")
def tail(  # noqa: PLR0913  # an option each
    config: Path | None,
    *,
    facility: str,
    device: str,
    kind: str,
    retained: bool,
    rates: bool,
    as_json: bool,
    count: int | None,
    seconds: float | None,
) -> None:
    """Show live messages, decoded; what is not of the contract is red, with the reason.

    A session of its own is used: the bridge goes on undisturbed. Until Ctrl-C.

    \b
    Exit codes: 0 done, 1 no broker, 2 the configuration is wrong, 130 Ctrl-C.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    wanted = Filter(facility, device, kind)
    try:
        source = live(broker_of(load(config).mqtt), retained=retained)
        messages = _bounded(source, wanted, count, seconds)
        if rates:
            _show_rates(messages)
        else:
            _show(messages, as_json=as_json)
    except ConfigError as fault:
        click.echo(str(fault), err=True)
        sys.exit(EXIT_CONFIG)
    except (MqttError, OSError) as fault:
        click.echo(f"mqtt.url: {fault}", err=True)
        sys.exit(_EXIT_NO_BROKER)
    except KeyboardInterrupt:
        sys.exit(_EXIT_CTRL_C)


def _bounded(
    source: Iterator[Seen | None],
    wanted: Filter,
    count: int | None,
    seconds: float | None,
) -> Iterator[Seen | None]:
    until = time.monotonic() + seconds if seconds is not None else float("inf")
    shown = 0
    for seen in source:
        if time.monotonic() > until:
            return
        if seen is None:
            yield None
        elif wanted.wants(seen.topic):
            yield seen
            shown += 1
            if shown == count:
                return


def _show(messages: Iterator[Seen | None], *, as_json: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for seen in messages:
        if seen is None:
            continue
        if as_json:
            click.echo(seen.as_json())
        else:
            console.print(_line(seen))


def _line(seen: Seen) -> str:
    clock = datetime.fromtimestamp(seen.received_s).astimezone().strftime("%H:%M:%S")
    if seen.point is None:
        told = f"{seen.topic[:120]} {seen.reason}: {seen.detail}"
        return f"[dim]{clock}[/] [red]{escape(told)}[/]"
    point = seen.point
    where = f"[cyan]{point.facility}/{point.device_id}[/] [dim]{point.kind}[/]"
    fields = " ".join(
        f"[dim]{name}=[/]{escape(str(value))}" for name, value in point.fields.items()
    )
    return f"[dim]{clock}[/] {where} {fields}"


def _show_rates(messages: Iterator[Seen | None]) -> None:
    console = Console()
    rates = Rates()
    due = time.monotonic() + _RATES_EVERY_S
    for seen in messages:
        if seen is not None:
            rates.count(seen)
        if time.monotonic() >= due:
            due += _RATES_EVERY_S
            console.print(_table(rates))


def _table(rates: Rates) -> Table:
    table = Table(box=None)
    table.add_column("facility")
    for column in ("messages/s", "rejects/s", "devices"):
        table.add_column(column, justify="right")
    for facility, good, bad, devices in rates.take():
        told = f"[red]{bad:,.0f}[/]" if bad else "0"
        table.add_row(facility, f"{good:,.0f}", told, f"{devices:,}")
    return table
