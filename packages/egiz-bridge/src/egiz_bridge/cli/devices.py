"""`egiz-bridge devices`: which are stale, losing or drifting, as the bridge knows."""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from egiz_cli import DONE, FAILED, Real, command
from rich.console import Console

from egiz_bridge.cli.probe import ask_bridge
from egiz_bridge.cli.shared import config_option, json_option
from egiz_bridge.ledger.devices import DRIFTING_MS, STALE_MS
from egiz_bridge.printable import escaped

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]  # of four digits


class _Device(msgspec.Struct):
    facility: str
    device_id: str
    last_received_ms: _Time
    messages: _Count
    missing: _Count
    duplicates: _Count
    late: _Count
    buffered: _Count
    reboots: _Count
    dropped_readings: _Count
    clock_skew_ms: int


class Known(msgspec.Struct):
    """What /devices answers."""

    started_ms: _Time
    devices: list[_Device]


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
    answer = ask_bridge(config, "/devices", Known)
    for known in answer.devices:
        device = msgspec.structs.asdict(known)
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
        started = datetime.fromtimestamp(answer.started_ms / 1000).astimezone()
        console.print(f"counted since {started:%Y-%m-%d %H:%M:%S %z}", highlight=False)


def _states(device: dict[str, Any], age_s: float, stale_after: float) -> list[str]:
    states = {
        "stale": age_s > stale_after,
        "losing": device["missing"] > 0,
        "drifting": abs(device["clock_skew_ms"]) >= DRIFTING_MS,
    }
    return [name for name, applies in states.items() if applies] or ["ok"]


def show(devices: list[dict[str, Any]], console: Console) -> None:
    """Print a table; what does not fit is left out and named, and nothing is cut.

    Rich needs a millisecond for a row, and there may be tens of thousands.
    """
    if not devices:
        console.print("no devices")
        return
    columns = _columns(devices)
    shown = len(columns)
    while (
        console.is_terminal
        and shown > len(_NAMES)
        and sum(one.width for one in columns[:shown]) > console.width
    ):
        shown -= 1
    heading, *lines = zip(*(one.cells() for one in columns[:shown]), strict=True)
    rows = zip(lines, (one["states"] for one in devices), strict=True)
    text = "\n".join(_line(cells, states, console) for cells, states in rows)
    click.echo("".join(heading).rstrip() + "\n" + text, file=console.file)
    if left_out := [one.heading for one in columns[shown:]]:
        console.print(f"no room for: {', '.join(left_out)} (--json has all)")


class _Column:
    def __init__(self, heading: str, values: list[str], *, is_number: bool) -> None:
        self.heading = heading
        self._values = values
        self._is_number = is_number
        self.width = max(map(len, [heading, *values])) + 2

    def cells(self) -> list[str]:
        texts = [self.heading, *self._values]
        if self._is_number:
            return [f"{text:>{self.width - 2}}  " for text in texts]
        return [f"{text:{self.width}}" for text in texts]


def _columns(devices: list[dict[str, Any]]) -> list[_Column]:
    found = []
    for name in (*_NAMES, *_HEADINGS):
        values = [one[name] for one in devices]
        texts = [", ".join(v) if name == "states" else escaped(str(v)) for v in values]
        heading = _HEADINGS.get(name, name.replace("_", " "))
        found.append(_Column(heading, texts, is_number=name in _HEADINGS))
    return found


def _line(cells: Sequence[str], states: list[str], console: Console) -> str:
    if console.color_system is None:
        return "".join(cells).rstrip()
    at = _NAMES.index("states")
    color = "green" if states == ["ok"] else "red"
    colored = click.style(cells[at], fg=color)
    return "".join([*cells[:at], colored, *cells[at + 1 :]])
