"""`make bench`: what the firmware does under the real interpreter, on this machine."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge import heap, latency, publishes, reconnects, wear

_NAMES = (
    "heap",
    "stages",
    "wear",
    "latency",
    "reconnects",
    "egiz_edge.mqtt",
    "umqtt.simple",
)


def main() -> None:
    """Measure and print."""
    options = _options()
    measurements = _measurements(options)
    found: dict[str, dict[str, object]] = {}
    for name in options.only or measurements:
        _show_progress(name)
        found |= measurements[name]()
    _show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _measurements(options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    return {
        "heap": lambda: _alone("heap", heap.measure()),
        "stages": _stages,
        "wear": lambda: _alone("wear", wear.measure()),
        "latency": lambda: _alone("latency", latency.measure(options.seconds)),
        "reconnects": lambda: _alone(
            "reconnects", reconnects.measure(options.reconnects)
        ),
        "egiz_edge.mqtt": lambda: _alone(
            "egiz_edge.mqtt", publishes.ours(options.publishes)
        ),
        "umqtt.simple": lambda: _alone(
            "umqtt.simple", publishes.stock(options.publishes)
        ),
    }


def _alone(name: str, found: Any) -> dict[str, dict[str, object]]:
    return {name: found._asdict()}


def _stages() -> dict[str, dict[str, object]]:
    found = heap.stages()
    return {f"heap, {name}": stage._asdict() for name, stage in found.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=_NAMES, help="may be given several times"
    )
    parser.add_argument("--publishes", type=int, default=200_000)
    parser.add_argument("--reconnects", type=int, default=40, help="rounds")
    parser.add_argument("--seconds", type=float, default=60.0, help="for the latency")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


def _show_progress(text: str) -> None:
    print(text, file=sys.stderr)


def _show(found: dict[str, dict[str, object]]) -> None:
    table = Table(title="egiz-edge, under the real interpreter")
    table.add_column("")
    table.add_column("", justify="right")
    for part, figures in found.items():
        for name, value in figures.items():
            table.add_row(f"{part}: {name}", _format(value))
    Console(width=100).print(table)


def _format(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
