"""What every simulated machine is: a model that moves on in time, and its readings."""

import random
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from egiz_schema import (
    Channel,
    CurrentPhases,
    Electrical,
    EnergyPhases,
    PowerPhases,
    Thermal,
    VoltagePhases,
)

AMBIENT_C = 22.0
_MAINS_V = 230.0
_MAINS_HZ = 50.0


class Reading(NamedTuple):
    """What the sensors of a machine read; each is a member of telemetry."""

    electrical: Electrical | None = None
    thermal: Thermal | None = None
    values: dict[str, float | None] | None = None
    counters: dict[str, int | None] | None = None
    contacts: dict[str, bool | None] | None = None


class Machine(ABC):
    """A machine; `step` moves its time on.

    Attributes:
        device_type: of its device id.
        channels: what its birth declares of values, counters and contacts.
    """

    device_type: ClassVar[str]
    channels: ClassVar[dict[str, Channel]] = {}

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.state = "running"
        self.clock_s = rng.uniform(0, 600)  # where in its cycle it begins
        self._energy_wh = [rng.uniform(0, 50_000) for _ in range(3)]

    @abstractmethod
    def step(self, seconds: float) -> Reading:
        """Let `seconds` pass; gives what the sensors read then."""

    def electrical(
        self, seconds: float, amperes: float, power_factor: float
    ) -> Electrical:
        """What the meters of its three phases read, after `seconds` of this load."""
        sag = 0.05 * amperes  # V, of the cable
        volts = [_MAINS_V - sag + self.rng.gauss(0, 0.4) for _ in range(3)]
        currents = [max(0.0, self.rng.gauss(amperes, 0.02 * amperes)) for _ in range(3)]
        watts = [v * i * power_factor for v, i in zip(volts, currents, strict=True)]
        for phase, power in enumerate(watts):
            self._energy_wh[phase] += power * seconds / 3600
        return Electrical(
            voltage=VoltagePhases(**_phases(volts, 1)),
            current=CurrentPhases(**_phases(currents, 3)),
            power_factor=round(power_factor, 2),
            frequency=round(self.rng.gauss(_MAINS_HZ, 0.01), 2),
            active_power=PowerPhases(**_phases(watts, 1)),
            energy_wh=EnergyPhases(
                **dict(zip("abc", map(int, self._energy_wh), strict=True))
            ),
        )


def _phases(values: list[float], digits: int) -> dict[str, float]:
    return {
        phase: round(value, digits) for phase, value in zip("abc", values, strict=True)
    }
