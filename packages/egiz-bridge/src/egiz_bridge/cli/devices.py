"""`egiz-bridge devices`: who is stale, losing or drifting; the bridge is asked."""

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from egiz_bridge.cli.probe import asked
from egiz_bridge.cli.spool import config_option
from egiz_bridge.ledger.devices import DRIFTING_MS, STALE_MS

_PIPED_WIDTH = 200
_COLUMNS = (
    *("messages", "missing", "duplicates", "late", "buffered", "reboots"),
    "clock_skew_ms",
)


@click.command()
@config_option
@click.option(
    "--stale-after",
    default=STALE_MS / 1000,
    show_default=True,
    help="Seconds without a message after which a device is stale.",
)
@click.option("--trouble", is_flag=True, help="Only devices that are not ok.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document for scripts.")
def devices(
    config: Path | None, *, stale_after: float, trouble: bool, as_json: bool
) -> None:
    """Show what the running bridge has learned of each device since its start.

    \b
    losing    messages that it counted never came
    drifting  its clock is a minute or more from ours
    stale     nothing came for a while

    \b
    Exit codes: 0 told, 1 the bridge does not answer, 2 the configuration is wrong.
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    now_ms = time.time_ns() // 1_000_000
    told = []
    for device in asked(config, "/devices"):
        age_s = (now_ms - device.pop("last_received_ms")) / 1000
        states = _states(device, age_s, stale_after)
        if states != ["ok"] or not trouble:
            told.append(device | {"last_s_ago": round(age_s, 1), "states": states})
    told.sort(key=lambda one: (-one["missing"], one["facility"], one["device_id"]))
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told)


def _states(device: dict[str, Any], age_s: float, stale_after: float) -> list[str]:
    states = {
        "stale": age_s > stale_after,
        "losing": device["missing"] > 0,
        "drifting": abs(device["clock_skew_ms"]) >= DRIFTING_MS,
    }
    return [name for name, applies in states.items() if applies] or ["ok"]


def _show(told: list[dict[str, Any]]) -> None:
    table = Table(box=None)
    for name in ("facility", "device_id", "states"):
        table.add_column(name.replace("_", " "))
    for name in ("last_s_ago", *_COLUMNS):
        table.add_column(name.replace("_", " "), justify="right")
    for device in told:
        is_ok = device["states"] == ["ok"]
        states = ", ".join(device["states"])
        table.add_row(
            device["facility"],
            device["device_id"],
            f"[{'green' if is_ok else 'red'}]{states}[/]",
            *(str(device[name]) for name in ("last_s_ago", *_COLUMNS)),
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH)  # a pipe has room for every column
    console.print(table if told else "no devices")
