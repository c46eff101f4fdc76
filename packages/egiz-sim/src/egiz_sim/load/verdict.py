"""What the figures of a load mean: passed, failed, or not known."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from egiz_sim.load.figures import Figures

Result = Literal["passed", "failed", "unknown", "not measured"]
_LAG_SHARE = 0.5  # of a missed objective: with more of it, the generator missed it


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    name: str
    result: Result
    text: str


@dataclass(frozen=True, slots=True)
class Objective:
    """The share of a hundredth may be slower: p99 of the last watched stage."""

    p99_ms: float


def verdict(
    found: Figures, objective: Objective | None, max_lag_ms: float
) -> dict[str, Any]:
    """`{"result", "checks"}`: failed if a check is, else unknown if one is."""
    checks = [
        _acknowledged(found),
        _found("live subscriber", found["live"], _late(found, "live")),
        _found("database", found["database"], _late(found, "queryable")),
        *_of_the_broker(found),
        *_of_the_bridge(found),
        _connections(found),
        _generator(found, max_lag_ms),
    ]
    if objective is not None:
        checks.append(_objective(found, objective))
    results = [check.result for check in checks]
    worst = next((r for r in ("failed", "unknown") if r in results), "passed")
    return {"result": worst, "checks": [asdict(check) for check in checks]}


def last_stage(found: Figures) -> str:
    """The watched stage that is furthest from the device."""
    *_, last = found["stages"]
    return str(last)


def _acknowledged(found: Figures) -> Check:
    missing = found["due"] - found["acknowledged"]
    if missing or not found["due"]:
        text = f"{missing:,} of {found['due']:,} have no PUBACK"
        return Check("acknowledged", "failed", text)
    text = f"all {found['due']:,}, {_late(found, 'puback'):,} late"
    return Check("acknowledged", "passed", text)


def _late(found: Figures, stage: str) -> int:
    """Counted, and no fault: whether it is one, the objective says."""
    return int(found["stages"].get(stage, {}).get("late", 0))


def _found(where: str, seen: Figures | None, late: int) -> Check:
    if seen is None:
        return Check(where, "not measured", "was not watched")
    text = f"{seen['lost']:,} lost of {found_of(seen):,}, {late:,} late"
    if where == "database":  # for a subscriber, QoS 1 is at least once
        text += f", {seen['duplicated']:,} stored twice"
        is_well = not seen["duplicated"]
    else:
        text += f", {seen['duplicated']:,} repeated, {seen['reordered']:,} reordered"
        is_well = True
        if seen["lost"] and not seen["found"]:
            text += "; a broker acknowledges also what its access list drops"
    is_well = is_well and not seen["lost"] and not seen["unknown"]
    return Check(where, "passed" if is_well else "failed", text)


def found_of(seen: Figures) -> int:
    """How many were to be found."""
    return int(seen["found"] + seen["lost"])


def _of_the_broker(found: Figures) -> list[Check]:
    broker = found.get("broker")
    if not broker or "dropped" not in broker:
        return []
    text = f"{broker['dropped']:,} dropped, as $SYS says"
    if broker["dropped"]:
        return [Check("broker", "failed", text)]
    if broker.get("received", 0) < found["sent"]:
        text = "$SYS is older than the end of the load"
        return [Check("broker", "not measured", text)]
    return [Check("broker", "passed", text)]


def _of_the_bridge(found: Figures) -> list[Check]:
    bridge = found.get("bridge")
    if not bridge:
        return []
    rejected = bridge["rejected"]
    text = f"{bridge['received']:,} received, {rejected:,} rejected"
    return [Check("bridge", "failed" if rejected else "passed", text)]


def _connections(found: Figures) -> Check:
    """Who is disconnected again and again is disturbed by somebody, and measures it."""
    text = f"{found['reconnects']:,} were made again"
    if found["brief_connections"] > 1:
        text += ", some within seconds: does another client have the same ids?"
        return Check("connections", "unknown", text)
    return Check("connections", "passed", text)


def _generator(found: Figures, max_lag_ms: float) -> Check:
    p99 = found["generator_lag_ms"]["p99"] or 0.0
    text = f"p99 {p99} ms behind its schedule; at most {max_lag_ms:g} ms"
    if found["due"] < found["planned"]:
        text = f"stopped after {found['due']:,} of {found['planned']:,} messages"
        return Check("generator", "unknown", text)
    if p99 > max_lag_ms:
        text += ": the rate was not held; use a faster machine, or fewer messages"
        return Check("generator", "unknown", text)
    return Check("generator", "passed", text)


def _objective(found: Figures, objective: Objective) -> Check:
    stage = last_stage(found)
    p99 = found["stages"][stage]["since_due_ms"]["p99"]
    text = f"p99 until {stage} is {p99} ms; at most {objective.p99_ms:g} ms"
    if p99 is not None and p99 <= objective.p99_ms:
        return Check("objective", "passed", text)
    lag = found["generator_lag_ms"]["p99"] or 0.0
    if lag > _LAG_SHARE * objective.p99_ms:
        text += f"; the generator itself was {lag} ms behind"
        return Check("objective", "unknown", text)
    return Check("objective", "failed", text)
