"""`make bench`: what the firmware does under the real interpreter, on this machine."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge import latency, publishes, reconnects, wear


def main() -> None:
    """Measure and print."""
    options = _options()
    found: dict[str, dict[str, object]] = {}
    _tell("wear of the flash")
    found["wear"] = wear.measure()._asdict()
    _tell(f"latency, {options.seconds:.0f} s")
    found["latency"] = latency.measure(options.seconds)._asdict()
    _tell(f"{options.reconnects} reconnections")
    found["reconnects"] = reconnects.measure(options.reconnects)._asdict()
    for name, of in (
        ("egiz_edge.mqtt", publishes.ours),
        ("umqtt.simple", publishes.stock),
    ):
        _tell(f"{options.publishes:,} publishes of {name}")
        found[name] = of(options.publishes)._asdict()
    _show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    parser.add_argument("--publishes", type=int, default=200_000)
    parser.add_argument("--reconnects", type=int, default=40, help="rounds")
    parser.add_argument("--seconds", type=float, default=60.0, help="for the latency")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def _show(found: dict[str, dict[str, object]]) -> None:
    table = Table(title="egiz-edge, under the real interpreter")
    table.add_column("")
    table.add_column("", justify="right")
    for part, figures in found.items():
        for name, value in figures.items():
            table.add_row(f"{part}: {name}", _told(value))
    Console(width=100).print(table)


def _told(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
