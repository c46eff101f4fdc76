"""`egiz-bridge devices`: which are stale, losing or drifting, as the bridge knows."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from egiz_cli import DONE, FAILED, Real, command
from rich.console import Console
from rich.table import Table

from egiz_bridge.cli.probe import get_json
from egiz_bridge.cli.shared import config_option, json_option
from egiz_bridge.ledger.devices import DRIFTING_MS, STALE_MS

_NAMES = ("facility", "device_id", "states")
_HEADINGS = {
    "last_s_ago": "last s ago",
    "messages": "messages",
    "missing": "missing",
    "clock_skew_ms": "skew ms",
    "reboots": "reboots",
    "buffered": "buffered",
    "late": "late",
    "duplicates": "duplicates",
    "dropped_readings": "dropped readings",
}  # on a narrow terminal, the last ones are left out first


@command(exit_codes={DONE: "printed", FAILED: "no bridge answers at http.listen"})
@config_option
@click.option(
    "--stale-after",
    default=STALE_MS / 1000,
    show_default=True,
    type=Real(0),
    metavar="SECONDS",
    help="A device is stale after so long without a message.",
)
@click.option("--trouble", is_flag=True, help="Only devices that are not ok.")
@json_option
def devices(
    config: Path | None, *, stale_after: float, trouble: bool, as_json: bool
) -> None:
    """Show what the running bridge knows of each device.

    It counts since its start.

    \b
    losing    messages that it counted have not arrived
    drifting  its clock is a minute or more from the bridge's
    stale     no message has arrived for a while

    \b
      egiz-bridge devices --config bridge.toml --trouble
    """  # noqa: D301  # \b is click's mark for lines that stay as they are
    now_ms = time.time_ns() // 1_000_000
    shown = []
    answer = get_json(config, "/devices")
    for device in answer["devices"]:
        age_s = (now_ms - device.pop("last_received_ms")) / 1000
        states = _states(device, age_s, stale_after)
        if states != ["ok"] or not trouble:
            shown.append(device | {"last_s_ago": round(age_s, 1), "states": states})
    shown.sort(key=lambda one: (-one["missing"], one["facility"], one["device_id"]))
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        console = Console()
        show(shown, console)
        started = datetime.fromtimestamp(answer["started_ms"] / 1000).astimezone()
        console.print(f"counted since {started:%Y-%m-%d %H:%M:%S %z}", highlight=False)


def _states(device: dict[str, Any], age_s: float, stale_after: float) -> list[str]:
    states = {
        "stale": age_s > stale_after,
        "losing": device["missing"] > 0,
        "drifting": abs(device["clock_skew_ms"]) >= DRIFTING_MS,
    }
    return [name for name, applies in states.items() if applies] or ["ok"]


def show(devices: list[dict[str, Any]], console: Console) -> None:
    """Print a table; what does not fit is left out and named, and nothing is cut."""
    if not devices:
        console.print("no devices")
        return
    columns = list(_HEADINGS)
    unlimited = console.options.update(max_width=10_000)
    table = _table(devices, columns)
    while (
        console.is_terminal
        and columns
        and console.measure(table, options=unlimited).maximum > console.width
    ):
        columns.pop()
        table = _table(devices, columns)
    # A pipe has room for every column; and a name may be longer than the terminal.
    needed = console.measure(table, options=unlimited).maximum
    console.width = max(console.width, needed)
    console.print(table)
    if left_out := [_HEADINGS[name] for name in _HEADINGS if name not in columns]:
        console.print(f"no room for: {', '.join(left_out)} (--json has all)")


def _table(devices: list[dict[str, Any]], columns: list[str]) -> Table:
    table = Table(box=None)
    for name in _NAMES:
        table.add_column(name.replace("_", " "), no_wrap=True)
    for name in columns:
        table.add_column(_HEADINGS[name], justify="right", no_wrap=True)
    for device in devices:
        color = "green" if device["states"] == ["ok"] else "red"
        table.add_row(
            device["facility"],
            device["device_id"],
            f"[{color}]{', '.join(device['states'])}[/]",
            *(str(device[name]) for name in columns),
        )
    return table
