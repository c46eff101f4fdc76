"""`make bench`: the table that compares egiz-bridge with its peers."""

import argparse
import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bridge import drain, kills, latency
from bridge.peers import Peer, peers

OURS = "egiz-bridge"
_COLUMNS = (
    *("messages/s", "of the ceiling", "CPU µs/message", "of ours", "peak MiB"),
    *("p50 ms", "p99 ms", "lost", "twice"),
)


def main() -> None:
    """Measure and print."""
    options = _options()
    chosen = [peer for peer in peers() if options.only in peer.name]
    found: dict[str, dict[str, float]] = {peer.name: {} for peer in chosen}
    _drains(chosen, found, options.messages, options.rounds)
    for peer in chosen:
        if peer.stores:
            _tell(f"latency at {options.rate} messages/s: {peer.name}")
            measured = latency.measure(peer, options.rate, options.seconds)
            found[peer.name] |= measured._asdict()
            _tell(f"SIGKILLs: {peer.name}")
            toll = kills.measure(peer)
            found[peer.name] |= {"lost": toll.lost, "duplicated": toll.duplicated}
    _show(found, options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="peers with this in their name")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=10_000, help="for the latency")
    parser.add_argument("--seconds", type=float, default=15.0, help="for the latency")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    return parser.parse_args()


def _drains(
    chosen: list[Peer], found: dict[str, dict[str, float]], messages: int, rounds: int
) -> None:
    costs: dict[str, list[drain.Cost]] = {peer.name: [] for peer in chosen}
    for number in range(rounds):
        for peer in chosen:
            _tell(f"drain {number + 1} of {rounds}: {peer.name}")
            costs[peer.name].append(drain.measure(peer, messages))
    for name, figures in costs.items():
        wall, cpu, peak = (statistics.median(c[i] for c in figures) for i in range(3))
        found[name] = {
            "messages_per_s": messages / wall,
            "cpu_us": cpu * 1e6 / messages,
            "peak_mib": peak,
        }


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def _show(found: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    table = Table(
        title=f"{options.messages:,} messages of 1,000 devices, median of"
        f" {options.rounds}; latency at {options.rate:,} messages/s"
    )
    table.add_column("")
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    ceiling = next(iter(found.values()))["messages_per_s"]
    ours = found.get(OURS, {"cpu_us": float("nan")})["cpu_us"]
    for name, figures in found.items():
        table.add_row(
            name,
            f"{figures['messages_per_s']:,.0f}",
            f"{figures['messages_per_s'] / ceiling:.0%}",
            f"{figures['cpu_us']:.1f}",
            f"{figures['cpu_us'] / ours:.1f} x",
            f"{figures['peak_mib']:.0f}",
            *(
                f"{figures[key] * 1000:,.0f}" if key in figures else ""
                for key in ("p50_s", "p99_s")
            ),
            *(
                f"{figures[key]:,}" if key in figures else ""
                for key in ("lost", "duplicated")
            ),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
