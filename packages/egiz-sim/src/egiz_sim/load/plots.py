"""Plots of a load's report, as SVG: each is a group of lines over one axis."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 400, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 22, 12, 38
_TICKS = 5
_POINTS_MAX = 600
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # also for the colour-blind

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; what is None breaks it."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its name, its ends, its ticks (value, text)."""

    name: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    scale: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(value) - low) / (high - low)
        return min(1.0, max(0.0, share))


def linear(name: str, high: float) -> Axis:
    """From 0 to the next tick from `high` on."""
    step = _step(high / _TICKS)
    count = max(1, math.ceil(high / step))
    ticks = [(n * step, f"{n * step:,g}") for n in range(count + 1)]
    return Axis(name, 0, count * step, ticks)


def seconds(name: str, last: float) -> Axis:
    """From 0 to the last one."""
    step = max(1, _step(last / _TICKS))
    ticks = [(n * step, f"{n * step:,g}") for n in range(int(last / step) + 1)]
    return Axis(name, 0, max(1, last), ticks)


def logarithmic(name: str, low: float, high: float) -> Axis:
    """Of powers of ten that include both; both are above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    ticks = [(10.0**n, f"{10.0**n:,g}") for n in range(first, last + 1)]
    return Axis(name, 10.0**first, 10.0**last, ticks, math.log10)


def plot(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """A figure with its legend."""
    parts = [_grid(x, y)]
    legend = []
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_path(line, x, y, colour))
        legend.append(
            f'<span><i style="background:{colour}"></i>{escape(line.name)}</span>'
        )
    label = escape(f"{title}: {', '.join(line.name for line in lines)}")
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg><p class=legend>{''.join(legend)}</p></figure>"
    )


def _grid(x: Axis, y: Axis) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value, text in y.ticks:
        at = _down(y.share(value))
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4}" class=end>{text}</text>')
    for value, text in x.ticks:
        at = _across(x.share(value))
        parts.append(f'<text x="{at}" y="{bottom + 16}" class=middle>{text}</text>')
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 4}" class=middle>{escape(x.name)}</text>'
    )
    parts.append(f'<text x="{_LEFT + 4}" y="{_TOP + 10}">{escape(y.name)}</text>')
    return "".join(parts)


def _path(line: Line, x: Axis, y: Axis, colour: str) -> str:
    every = max(1, len(line.points) // _POINTS_MAX)
    runs: list[list[Point]] = [[]]
    for across, up in line.points[::every]:
        if up is None:
            runs.append([])
        else:
            runs[-1].append((_across(x.share(across)), _down(y.share(up))))
    drawn = []
    for points in filter(None, runs):
        # A run of one point is a dot: a line of no length with round ends.
        ends = points if len(points) > 1 else points * 2
        drawn.append("M" + "L".join(f"{a} {b}" for a, b in ends))
    return f'<path d="{"".join(drawn)}" stroke="{colour}"/>'


def _across(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _down(share: float) -> float:
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _step(least: float) -> float:
    """1, 2 or 5 times a power of ten, and at least this."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= least * 0.999)
