"""The highest rate at which a load passes: doubled until it does not, then bisected."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from egiz_sim.load.verdict import last_stage

Report = dict[str, Any]
RATE_MAX = 1_000_000.0
_CLOSE = 1.1  # the lowest rate that failed, by the highest that passed
_TRIES = 2  # other work on the machine may make one fail


@dataclass(frozen=True, slots=True)
class Step:
    """One load of a search."""

    rate: float
    result: str
    p99_ms: float | None
    lag_p99_ms: float | None


async def search(start: float, run: Callable[[float], Awaitable[Report]]) -> Report:
    """Look for the highest rate.

    Args:
        start: the first rate, messages a second.
        run: sends at a rate; gives the report.

    Returns:
        The report of the highest rate that passed, or of the first if none did, with
        `search`: `{"highest_rate", "limit", "steps", "is_stopped"}`. The limit
        is that of the `system`, or of the `generator`, which could not send faster:
        then the highest rate of the system may be higher. It is None of a search that
        was stopped, whose result is unknown, and of one that found none up to the
        fastest.
    """
    steps: list[Step] = []
    best = last = await _try(start, run, steps)
    good, bad, limit = _bounds(start, last, 0.0, None, None)
    while good and good < RATE_MAX and not last["is_stopped"]:
        if bad is None:
            rate = min(2 * good, RATE_MAX)
        elif bad / good > _CLOSE:
            rate = (good * bad) ** 0.5
        else:
            break
        last = await _try(rate, run, steps)
        good, bad, limit = _bounds(rate, last, good, bad, limit)
        best = last if last["result"] == "passed" else best
    found: Report = {"highest_rate": good, "limit": limit}
    found |= {"steps": [asdict(s) for s in steps], "is_stopped": last["is_stopped"]}
    if last["is_stopped"]:
        return best | {"search": found | {"limit": None}, "result": "unknown"}
    return best | {"search": found}


_Bounds = tuple[float, float | None, str | None]


def _bounds(
    rate: float, report: Report, good: float, bad: float | None, limit: str | None
) -> _Bounds:
    """The highest that passed, the lowest that did not, and why."""
    if report["result"] == "passed":
        return rate, bad, limit
    return good, rate, "system" if report["result"] == "failed" else "generator"


async def _try(
    rate: float, run: Callable[[float], Awaitable[Report]], steps: list[Step]
) -> Report:
    """The report of a rate: of the first try that passed, or else of the last."""
    for _ in range(_TRIES):
        report = await run(rate)
        p99 = report["stages"][last_stage(report)]["since_due_ms"]["p99"]
        lag = report["generator_lag_ms"]["p99"]
        steps.append(Step(round(rate, 1), report["result"], p99, lag))
        if report["result"] == "passed" or report["is_stopped"]:
            break
    return report
