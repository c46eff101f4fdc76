"""The report of a load as one HTML file: it needs no network, and runs no script."""

import math
from collections.abc import Iterator
from html import escape
from typing import Any

from egiz_sim.load.figures import SHARES
from egiz_sim.load.plots import Axis, Line, linear, logarithmic, plot, seconds
from egiz_sim.load.view import search_result

_LEAST_MS = 0.1  # what is drawn at the foot of a logarithmic axis
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --ok: #197a3d; --bad: #b3261e;
  --open: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ok: #6cd08f; --bad: #ff8a80;
  --open: #ffc266 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem;
  padding: 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.passed { color: var(--ok) } .failed { color: var(--bad) }
.unknown { color: var(--open) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top }
.numbers td, .numbers th + th { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)) }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600 }
svg { display: block; width: 100%; height: auto }
svg text { fill: currentColor; font-size: 12px } svg .end { text-anchor: end }
svg .middle { text-anchor: middle } svg line { stroke: var(--line) }
svg path { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round }
@media (max-width: 40rem) { th, td { padding: .2rem .35rem } table { font-size: .9rem }
  .plots { font-size: .9rem } }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 0 }
.legend i { display: inline-block; height: .7rem; margin-right: .4rem; width: .7rem }
"""
_LAG = "sent"  # how late the generator itself was


def html(report: dict[str, Any]) -> str:
    """The whole page."""
    load = report["load"]
    title = f"Load of {load['rate']:,g} messages a second: {report['result']}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(_sections(report))
        + "\n</body>\n</html>\n"
    )


def _sections(report: dict[str, Any]) -> Iterator[str]:
    load, result = report["load"], report["result"]
    yield (
        f"<h1>{load['rate']:,g} messages a second:"
        f" <span class={result}>{result}</span></h1>"
    )
    yield (
        f"<p>{load['devices']:,} devices for {load['seconds']:g} s{_stopped(report)},"
        f" broker {escape(load['broker'])}, facility {escape(load['facility'])}, boot"
        f" {load['boot']}.{_cpu(report['generator_cpu_percent'])}</p>"
    )
    if "search" in report:
        yield _search(report["search"])
    yield f"<h2>Checks</h2>{_checks(report)}"
    yield f"<h2>Milliseconds since a message was due</h2>{_times(report)}"
    yield "<p>Sent: by how much the generator itself was late.</p>"
    yield f"<h2>Messages</h2>{_counts(report)}"
    yield f"<h2>Plots</h2><div class=plots>{''.join(_plots(report))}</div>"


def _stopped(report: dict[str, Any]) -> str:
    if not report["is_stopped"]:
        return ""
    return f" (stopped after {report['elapsed_s']:.1f} s)"


def _cpu(percent: float | None) -> str:
    """Of one message, nothing: it was sent in no time."""
    return "" if percent is None else f" The generator needed {percent} % of a core."


def _search(found: dict[str, Any]) -> str:
    head = ["messages a second", "p99, ms", "generator's lag p99, ms", "result"]
    rows = [
        [
            f"{step['rate']:,.0f}",
            *(_number(step[name]) for name in ("p99_ms", "lag_p99_ms")),
            step["result"],
        ]
        for step in found["steps"]
    ]
    text = f"<p>{escape(search_result(found))}</p>"
    return f"<h2>Rates tried</h2>{text}{_table(head, rows)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _checks(report: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><td class="{check["result"]}">{check["result"]}</td>'
        f"<td>{escape(check['name'])}</td><td>{escape(check['text'])}</td></tr>"
        for check in report["checks"]
    )
    return f"<div class=wide><table>{rows}</table></div>"


def _times(report: dict[str, Any]) -> str:
    """A row for each percentile: a telephone is too narrow for a column for each."""
    places = {_LAG: report["generator_lag_ms"]}
    places |= {name: of["since_due_ms"] for name, of in report["stages"].items()}
    names = [*SHARES, "max"]
    rows = [[name, *(_number(of[name]) for of in places.values())] for name in names]
    return _table(["until", *places], rows)


def _counts(report: dict[str, Any]) -> str:
    names = ["found", "lost", "duplicated", "reordered", "unknown", "late"]
    missing = report["due"] - report["acknowledged"]
    broker = {"found": report["acknowledged"], "lost": missing}
    places = {"broker": broker | {"late": report["stages"]["puback"]["late"]}}
    for place, stage in (("live", "live"), ("database", "queryable")):
        if seen := report[place]:
            places[place] = seen | {"late": report["stages"][stage]["late"]}
    rows = [
        [name, *(_count(one.get(name)) for one in places.values())] for name in names
    ]
    lost = "".join(_lost(place, report[place]) for place in ("live", "database"))
    return _table(["", *places], rows) + lost


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _lost(place: str, seen: dict[str, Any] | None) -> str:
    if not seen or not seen["first_lost"]:
        return ""
    named = ", ".join(
        escape(f"{one['device_id']} {one['boot']}/{one['seq']}")
        for one in seen["first_lost"]
    )
    return f"<p>First lost ({place}), as device boot/seq: {named}</p>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{v}</td>' for v in row[1:])}</tr>"
        for row in rows
    )
    return f"<div class=wide><table class=numbers><tr>{heads}</tr>{body}</table></div>"


def _plots(report: dict[str, Any]) -> Iterator[str]:
    yield _percentiles(report)
    each = report["seconds"]
    if each:
        across = seconds("second in which it was due", each[-1]["second"])
        yield _p99(report, across)
        sent = [(one["second"], one["due"]) for one in each]
        high = max(count for _, count in sent)
        line = Line("messages", sent)
        yield plot("Messages due in each second", [line], across, linear("", high))


def _percentiles(report: dict[str, Any]) -> str:
    """Each time by the share of messages that took longer: the tail has its room."""
    shares = [1 - share for share in SHARES.values()]
    stages = {_LAG: report["generator_lag_ms"]}
    stages |= {name: of["since_due_ms"] for name, of in report["stages"].items()}
    lines = [
        Line(
            name, [(-share, times[p]) for p, share in zip(SHARES, shares, strict=True)]
        )
        for name, times in stages.items()
    ]
    ticks = [(-share, name) for name, share in zip(SHARES, shares, strict=True)]
    across = Axis("percentile", -shares[0], -shares[-1], ticks, _tail)
    return plot("Milliseconds by percentile", lines, across, _milliseconds(lines))


def _tail(share: float) -> float:
    """-0.5 to -0.001: as far from each other as their orders of magnitude."""
    return -math.log10(-share)


def _p99(report: dict[str, Any], across: Axis) -> str:
    names = {_LAG: "lag_ms"} | {name: name for name in report["stages"]}
    lines = [
        Line(name, [(one["second"], one[key]["p99"]) for one in report["seconds"]])
        for name, key in names.items()
    ]
    return plot("p99 of each second, ms", lines, across, _milliseconds(lines))


def _milliseconds(lines: list[Line]) -> Axis:
    values = [up for line in lines for _, up in line.points if up]
    low = max(_LEAST_MS, min(values, default=_LEAST_MS))
    return _clamped(logarithmic("ms", low, max([low, *values])))


def _clamped(axis: Axis) -> Axis:
    """What is less than its foot is drawn there: a logarithm has no zero."""

    def scale(value: float) -> float:
        return axis.scale(max(value, axis.low))

    return Axis(axis.name, axis.low, axis.high, axis.ticks, scale)
