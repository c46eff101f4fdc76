"""What a load shows while it runs, and at its end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from egiz_sim.load.figures import SHARES
from egiz_sim.load.generator import Load
from egiz_sim.load.ledger import Ledger

_EVERY_S = 0.5
_LINES_EVERY = 4  # where there is no terminal
_COLOURS = {"passed": "green", "failed": "red", "unknown": "yellow"}


@contextlib.asynccontextmanager
async def progress(
    console: Console, current: Callable[[], tuple[Load, Ledger] | None]
) -> AsyncIterator[None]:
    """Show how far the current load is: live on a terminal, as lines elsewhere."""
    task = asyncio.create_task(_show(console, current))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _show(
    console: Console, current: Callable[[], tuple[Load, Ledger] | None]
) -> None:
    turn = 0
    # Refreshed here: a thread of its own would hold up the generator.
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(_EVERY_S)
            turn += 1
            if (now := current()) is None:
                continue
            if console.is_terminal:
                live.update(_rendered(*now), refresh=True)
            elif turn % _LINES_EVERY == 0:
                console.print(summary(*now), highlight=False, soft_wrap=True)


def _rendered(load: Load, ledger: Ledger) -> RenderableType:
    bar = ProgressBar(total=load.messages, completed=len(ledger.due), width=40)
    return Group(bar, Text(summary(load, ledger)))


def summary(load: Load, ledger: Ledger) -> str:
    """One line of counts."""
    parts = [
        f"{load.rate:,g} msg/s",
        f"{len(ledger.due):,}/{load.messages:,} sent",
        f"{ledger.acknowledgements:,} acknowledged",
    ]
    if ledger.live:
        parts.append(f"{ledger.live.count:,} seen live")
    if ledger.stored:
        parts.append(f"{ledger.stored.count:,} in the database")
    return ", ".join(parts)


def show(report: dict[str, Any], console: Console) -> None:
    """Print the times and the verdict."""
    table = Table(title="Milliseconds since it was due", title_justify="left")
    table.add_column("until")
    for name in (*SHARES, "max"):
        table.add_column(name, justify="right")
    rows = {"sent (the generator's lag)": report["generator_lag_ms"]}
    rows |= {name: of["since_due_ms"] for name, of in report["stages"].items()}
    for name, times in rows.items():
        table.add_row(name, *(_number(value) for value in times.values()))
    console.print(table)
    for check in report["checks"]:
        line = Text(f"{check['result']:<13}", _COLOURS.get(check["result"], "dim"))
        console.print(line.append(f"{check['name']}: {check['text']}", "default"))
    if "search" in report:
        _show_search(report["search"], console)
    result = report["result"]
    console.print(Text(f"Result: {result}", f"bold {_COLOURS[result]}"))


def _show_search(found: dict[str, Any], console: Console) -> None:
    table = Table(title="Rates tried", title_justify="left")
    for name in ("messages a second", "p99, ms", "generator's lag p99, ms"):
        table.add_column(name, justify="right")
    table.add_column("")
    for step in found["steps"]:
        times = (_number(step["p99_ms"]), _number(step["lag_p99_ms"]))
        colour = _COLOURS[step["result"]]
        table.add_row(
            f"{step['rate']:,.0f}", *times, Text(step["result"], style=colour)
        )
    console.print(table)
    console.print(search_result(found), highlight=False)


def search_result(found: dict[str, Any]) -> str:
    """One sentence."""
    if found["is_stopped"]:
        best = f"{found['highest_rate']:,.0f} a second passed until then"
        best = best if found["highest_rate"] else "no rate was tried to its end"
        return f"Stopped before it was done: {best}."
    if not found["highest_rate"]:
        return "The first rate did not pass: begin at a lower --rate."
    text = f"The highest rate that passed is {found['highest_rate']:,.0f} a second"
    if found["limit"] != "generator":
        return f"{text}."
    return f"{text}; the generator could send no faster, so the system's may be higher."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
