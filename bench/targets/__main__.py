"""`hatch run bench-targets`: the load table of the requirements.

A fleet of `egiz-sim load`, the broker as it is shipped for the demo, egiz-bridge and
InfluxDB 1; then the firmware on a virtual board. About four minutes.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from targets import rows


def main() -> None:
    """Measure and print."""
    options = _options()
    fleet = (options.devices, options.rate, options.seconds)
    slower = (options.devices, options.rate // 10, options.seconds)
    _say("throughput")
    found = rows.of_throughput(*fleet)
    _say("a slower load, and queries")
    found += rows.of_latency(*slower)
    _say("a load, and a restart of the broker")
    found += rows.of_outage(*slower)
    _say("the firmware")
    found += rows.of_firmware(options.seconds, options.rounds)
    _show(found)
    if options.json:
        options.json.write_text(json.dumps([r._asdict() for r in found], indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-targets", description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=10_000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=10, help="reconnections")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(found: list[rows.Row]) -> None:
    table = Table(title="Load table", title_justify="left")
    for column in ("", "target", "measured", ""):
        table.add_column(column)
    for row in found:
        verdict = "met" if row.is_met else "MISSED"
        table.add_row(row.name, row.target, row.measured, verdict)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
