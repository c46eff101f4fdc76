"""The figures of a load, ready for JSON: counts of messages, times in milliseconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from egiz_sim.load.ledger import Ledger, Sightings, Times

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
_NAMED_AT_MOST = 20
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a message goes through, and when each did."""

    name: str
    times: Times


def stages(ledger: Ledger) -> list[Stage]:
    """Those that are watched, the nearest first."""
    found = [Stage("puback", ledger.acknowledged)]
    if ledger.live:
        found.append(Stage("live", ledger.live.first))
    if ledger.stored:
        found.append(Stage("queryable", ledger.stored.first))
    return found


def figures(ledger: Ledger, late_s: float, names: Sequence[str]) -> Figures:
    """What became of the messages.

    Args:
        ledger: of all of them.
        late_s: after how long one is late.
        names: the device ids, in the order in which they publish.
    """
    watched = {stage.name: stage.times for stage in stages(ledger)}
    return {
        "due": len(ledger.due),
        "sent": len(ledger.due) - ledger.unsent,
        "acknowledged": ledger.acknowledgements,
        "generator_lag_ms": percentiles(elapsed(ledger.due, ledger.sent)),
        "stages": {
            name: _stage(ledger, times, late_s) for name, times in watched.items()
        },
        "live": _sightings(ledger, ledger.live, names),
        "database": _sightings(ledger, ledger.stored, names),
        "seconds": _seconds(ledger, watched),
    }


def percentiles(seconds: Iterable[float]) -> dict[str, float | None]:
    """In milliseconds, with the maximum; None of nothing."""
    ordered = sorted(seconds)
    shares = SHARES | {"max": 1.0}
    if not ordered:
        return dict.fromkeys(shares)
    last = len(ordered) - 1
    return {
        name: round(1000 * ordered[min(last, int(share * len(ordered)))], 3)
        for name, share in shares.items()
    }


def elapsed(since: Sequence[float], times: Sequence[float]) -> list[float]:
    """Seconds from one to the other, of those that came."""
    return [at - begun for begun, at in zip(since, times, strict=True) if at]


def _stage(ledger: Ledger, times: Times, late_s: float) -> Figures:
    since_due = elapsed(ledger.due, times)
    return {
        "since_due_ms": percentiles(since_due),
        "since_sent_ms": percentiles(elapsed(ledger.sent, times)),
        "late": sum(seconds > late_s for seconds in since_due),
    }


def _sightings(
    ledger: Ledger, seen: Sightings | None, names: Sequence[str]
) -> Figures | None:
    if seen is None:
        return None
    lost = ledger.missing(seen.first)
    return {
        "found": seen.count,
        "lost": len(lost),
        "duplicated": seen.repeats,
        "reordered": seen.reordered,
        "unknown": seen.unknown,
        "first_lost": [
            _named(ledger, number, names) for number in lost[:_NAMED_AT_MOST]
        ],
    }


def _named(ledger: Ledger, number: int, names: Sequence[str]) -> Figures:
    device, seq = ledger.identity(number)
    return {"device_id": names[device], "boot": ledger.boot, "seq": seq}


def _seconds(ledger: Ledger, watched: dict[str, Times]) -> list[Figures]:
    """By the second in which a message was due: for the plots."""
    if not ledger.due:
        return []
    found, begin, begun = [], 0, ledger.due[0]
    while begin < len(ledger.due):
        second = int(ledger.due[begin] - begun)
        end = begin
        while end < len(ledger.due) and int(ledger.due[end] - begun) == second:
            end += 1
        due = ledger.due[begin:end]
        found.append(
            {
                "second": second,
                "due": end - begin,
                "lag_ms": _two(due, ledger.sent[begin:end]),
                **{name: _two(due, all_[begin:end]) for name, all_ in watched.items()},
            }
        )
        begin = end
    return found


def _two(since: Times, times: Times) -> dict[str, float | None]:
    of_all = percentiles(elapsed(since, times))
    return {name: of_all[name] for name in ("p50", "p99")}
