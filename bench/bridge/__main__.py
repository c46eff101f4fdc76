"""`make bench`: the table that compares egiz-bridge with its peers."""

import argparse
import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bridge import drain, kills, latency, steady
from bridge.peers import Peer, peers

OURS = "egiz-bridge"
RATES = (200, 1000)  # messages/s: 1,000 devices that send every five seconds, or one
_COLUMNS = (
    *("messages/s", "of the ceiling", "CPU µs/message", "of ours", "peak MiB"),
    *("p50 ms", "p99 ms", "CPU", "lost", "twice"),
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
    rates = _rates(chosen, options.windows)
    _show(found, options)
    _show_rates(rates)
    for name, figures in rates.items():
        found[name] |= figures
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="peers with this in their name")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=10_000, help="for the latency")
    parser.add_argument("--seconds", type=float, default=15.0, help="for the latency")
    parser.add_argument("--windows", type=int, default=9, help="of 5 s, for real rates")
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


def _rates(chosen: list[Peer], windows: int) -> dict[str, dict[str, float]]:
    """What each peer costs at real rates; all of them side by side."""
    storing = [peer for peer in chosen if peer.stores]
    found: dict[str, dict[str, float]] = {peer.name: {} for peer in storing}
    for rate in RATES:
        _tell(f"{rate} messages/s, side by side")
        for name, measured in steady.measure(storing, rate, windows).items():
            found[name][f"cpu_share_{rate}"] = measured.cpu_share
            found[name][f"p99_s_{rate}"] = measured.p99_s
    return found


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def _show(found: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    table = Table(
        title=f"{options.messages:,} messages of 1,000 devices, median of"
        f" {options.rounds}; latency, and CPU of a core, at {options.rate:,} messages/s"
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
            f"{figures['cpu_share']:.1%}" if "cpu_share" in figures else "",
            *(
                f"{figures[key]:,}" if key in figures else ""
                for key in ("lost", "duplicated")
            ),
        )
    Console(width=140).print(table)


def _show_rates(found: dict[str, dict[str, float]]) -> None:
    table = Table(title="Real rates, side by side; CPU in percent of a core")
    table.add_column("")
    for rate in RATES:
        for column in (f"CPU at {rate:,}/s", "µs/message", "of ours", "p99 ms"):
            table.add_column(column, justify="right")
    for name, figures in found.items():
        row = [name]
        for rate in RATES:
            share = figures[f"cpu_share_{rate}"]
            ours = found.get(OURS, {}).get(f"cpu_share_{rate}", float("nan"))
            row += [
                f"{share:.1%}",
                f"{share / rate * 1e6:.0f}",
                f"{share / ours:.1f} x",
            ]
            row.append(f"{figures[f'p99_s_{rate}'] * 1000:,.0f}")
        table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
