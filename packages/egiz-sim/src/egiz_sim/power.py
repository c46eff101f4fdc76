"""Electricity: a three-phase supply, what machines draw from it, and its meters."""

import math
import random
from typing import NamedTuple

from egiz_schema import (
    CurrentPhases,
    Electrical,
    EnergyPhases,
    PowerPhases,
    VoltagePhases,
)

MAINS_V = 230.0
_MAINS_HZ = 50.0
_CABLE_OHM = 0.05
_PHASES = "abc"

_INRUSH = 5.0  # times the rated current, beside that of the load
_INRUSH_S = 0.15  # in which it falls to 1/e
_INRUSH_FACTOR = 0.35
_LOCKED = 3.9  # times the rated current
_LOCKED_FACTOR = 0.4

_WANDER_S = 300.0  # in which the voltage of the mains forgets where it was
_WANDER_V = 1.5
_BALANCE_V = 1.0  # between phases, for as long as the plant stands
_BALANCE_LOAD = 0.015
_NOISE_V, _NOISE_HZ = 0.2, 0.01


class Draw(NamedTuple):
    """What a load draws of one phase: W, and var."""

    watts: float
    var: float

    def __add__(self, other: tuple[object, ...]) -> "Draw":
        """Two loads together: their phase angles count."""
        assert isinstance(other, Draw)
        return Draw(self.watts + other.watts, self.var + other.var)


def load(amperes: float, factor: float) -> Draw:
    """What draws this current at 230 V, with this power factor."""
    apparent = MAINS_V * amperes
    return Draw(apparent * factor, apparent * math.sqrt(1 - factor * factor))


class Motor:
    """An induction motor on three phases.

    Without a load, most of its current magnetises it: the power factor is low. At the
    start, and for some tenths of a second, it draws several times its rated current.

    Args:
        amperes: of each phase, at its rated load.
        factor: power factor at that load.
    """

    def __init__(self, amperes: float, factor: float) -> None:
        self._amperes = amperes
        self._rated = load(amperes, factor)
        self._run_s: float | None = None  # since its start; None is at rest

    @property
    def rated_w(self) -> float:
        """W of each phase, at its rated load."""
        return self._rated.watts

    def stop(self) -> None:
        """The next `turn` is a start."""
        self._run_s = None

    def turn(self, seconds: float, share: float) -> Draw:
        """Mean of what it draws in `seconds`; `share` of its rated load is on it."""
        begun = self._run_s or 0.0
        self._run_s = begun + seconds
        drawn = Draw(
            self._rated.watts * (0.08 + 0.92 * share),
            self._rated.var * (0.7 + 0.3 * share * share),
        )
        if begun > 10 * _INRUSH_S:
            return drawn
        falling = math.exp(-begun / _INRUSH_S) - math.exp(-self._run_s / _INRUSH_S)
        amperes = _INRUSH * self._amperes * falling * _INRUSH_S / seconds
        return drawn + load(amperes, _INRUSH_FACTOR)

    def locked(self) -> Draw:
        """What it draws if it cannot turn."""
        self.stop()
        return load(_LOCKED * self._amperes, _LOCKED_FACTOR)


class Meters:
    """One meter on each phase: means since the last reading, and energy counters.

    The phases are never quite alike: neither their voltages nor what is on them.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._volts = [MAINS_V + rng.gauss(0, _BALANCE_V) for _ in _PHASES]
        self._shares = [1 + rng.gauss(0, _BALANCE_LOAD) for _ in _PHASES]
        self._wander_v = rng.gauss(0, _WANDER_V)
        self._energy_wh = [rng.uniform(0, 50_000) for _ in _PHASES]
        self._begin()

    def reset_energy(self) -> None:
        """Set the counters to zero."""
        self._energy_wh = [0.0 for _ in _PHASES]

    def resistors(self, watts: float) -> list[Draw]:
        """What three resistors draw now: `watts` each, at 230 V."""
        return [Draw(watts * (v / MAINS_V) ** 2, 0.0) for v in self._supply()]

    def use(self, seconds: float, draws: Draw | list[Draw]) -> list[float]:
        """Let `seconds` pass with a load, or one for each phase; gives W by phase."""
        self._wander(seconds)
        loads = [draws] * 3 if isinstance(draws, Draw) else draws
        power = []
        for phase, (volts, share, drawn) in enumerate(
            zip(self._supply(), self._shares, loads, strict=True)
        ):
            watts = share * drawn.watts
            apparent = share * math.hypot(drawn.watts, drawn.var)
            volts -= _CABLE_OHM * apparent / volts  # noqa: PLW2901  # at the machine
            self._energy_wh[phase] += watts * seconds / 3600
            self._volt_s[phase] += volts * seconds
            self._ampere_s[phase] += apparent / volts * seconds
            self._watt_s[phase] += watts * seconds
            self._apparent_s += apparent * seconds
            power.append(watts)
        self._seconds += seconds
        return power

    def read(self) -> Electrical:
        """What they show of the time since the last reading; some must have passed."""
        noise, seconds = self._rng.gauss, self._seconds
        factor = sum(self._watt_s) / self._apparent_s if self._apparent_s else 1.0
        volts = [v / seconds + noise(0, _NOISE_V) for v in self._volt_s]
        amperes = [i / seconds * noise(1, 0.002) for i in self._ampere_s]
        watts = [w / seconds for w in self._watt_s]
        self._begin()
        return Electrical(
            voltage=VoltagePhases(**_by_phase(volts, 1)),
            current=CurrentPhases(**_by_phase(amperes, 3)),
            power_factor=round(factor, 2),
            frequency=round(noise(_MAINS_HZ, _NOISE_HZ), 2),
            active_power=PowerPhases(**_by_phase(watts, 1)),
            energy_wh=EnergyPhases(
                **dict(zip(_PHASES, map(int, self._energy_wh), strict=True))
            ),
        )

    def _begin(self) -> None:
        self._seconds = self._apparent_s = 0.0
        self._volt_s, self._ampere_s, self._watt_s = [0.0] * 3, [0.0] * 3, [0.0] * 3

    def _supply(self) -> list[float]:
        return [volts + self._wander_v for volts in self._volts]

    def _wander(self, seconds: float) -> None:
        """The mains: a random walk that is pulled back to its middle."""
        kept = math.exp(-seconds / _WANDER_S)
        spread = _WANDER_V * math.sqrt(1 - kept * kept)
        self._wander_v = kept * self._wander_v + self._rng.gauss(0, spread)


def _by_phase(values: list[float], digits: int) -> dict[str, float]:
    return {
        phase: round(value, digits)
        for phase, value in zip(_PHASES, values, strict=True)
    }
