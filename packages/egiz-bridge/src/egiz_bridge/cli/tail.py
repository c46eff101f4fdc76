"""The command `egiz-bridge tail`."""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import click
from egiz_cli import FAILED, Real, command
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from egiz_bridge.cli.live import Filter, LiveMessage, Rates, live
from egiz_bridge.cli.shared import (
    config_option,
    exit_for,
    json_option,
    load_settings,
)
from egiz_bridge.errors import ConfigError, MqttError
from egiz_bridge.mqtt.broker import brokers_of
from egiz_bridge.printable import escaped, printable

_RATES_EVERY_S = 1.0


@command(exit_codes={FAILED: "the broker cannot be reached, or refuses"})
@config_option
@click.option("--facility", default="*", help="Only these, as 'north*'.")
@click.option("--device", default="*", help="Only these device ids, as 'oven-*'.")
@click.option("--kind", default="*", help="Only telemetry, status, config or command.")
@click.option("--retained", is_flag=True, help="Also the broker's retained messages.")
@click.option("--rates", is_flag=True, help="Messages a second instead of messages.")
@json_option
@click.option("--count", type=click.IntRange(1), help="Stop after so many messages.")
@click.option(
    "--seconds", type=Real(0, min_open=True), help="Stop after so many seconds."
)
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
    """Show live messages, decoded, until Ctrl-C.

    What does not follow the contract is red, with the reason. The bridge is not
    disturbed: this is a session of its own.

    \b
      egiz-bridge tail --config bridge.toml --device 'oven-*' --kind telemetry
      egiz-bridge tail --config bridge.toml --json --count 100 | jq .fields
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    wanted = Filter(facility, device, kind)
    settings = load_settings(config)
    try:
        with closing(live(brokers_of(settings.mqtt), retained=retained)) as source:
            messages = _bounded(source, wanted, count, seconds)
            if rates:
                _show_rates(messages)
            else:
                _show(messages, as_json=as_json)
    except ConfigError as error:  # files that the settings name
        raise exit_for(error.problems) from None
    except MqttError as error:
        raise exit_for([f"mqtt.url: {error}"], FAILED) from None


def _bounded(
    source: Iterator[LiveMessage | None],
    wanted: Filter,
    count: int | None,
    seconds: float | None,
) -> Iterator[LiveMessage | None]:
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


def _show(messages: Iterator[LiveMessage | None], *, as_json: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for seen in messages:
        if seen is None:
            continue
        if as_json:
            click.echo(seen.as_json())
        else:
            console.print(_line(seen))


def _line(seen: LiveMessage) -> str:
    clock = datetime.fromtimestamp(seen.received_s).astimezone().strftime("%H:%M:%S")
    if seen.point is None:
        problem = f"{printable(seen.topic)} {seen.reason}: {escaped(seen.detail)}"
        return f"[dim]{clock}[/] [red]{escape(problem)}[/]"
    point = seen.point
    where = f"[cyan]{point.facility}/{point.device_id}[/] [dim]{point.kind}[/]"
    fields = " ".join(
        f"[dim]{name}=[/]{escape(escaped(str(value)))}"
        for name, value in point.fields.items()
    )
    return f"[dim]{clock}[/] {where} {fields}"


def _show_rates(messages: Iterator[LiveMessage | None]) -> None:
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
    for facility, valid, rejected, devices in rates.pop():
        rejects = f"[red]{rejected:,.0f}[/]" if rejected else "0"
        table.add_row(facility, f"{valid:,.0f}", rejects, f"{devices:,}")
    return table
