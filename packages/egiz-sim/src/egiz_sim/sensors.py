"""Sensors: what they show of a true value, and how they fail."""

import math
import random
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec
from egiz_schema import Electrical, Thermal, limits

FaultKind = Literal["stuck", "spike", "dropout", "drift", "power_on"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
POWER_ON_C = 85.0  # what a DS18B20 holds before its first conversion

_SPIKES = 0.1  # of the readings
_SPIKE = 5  # times the value
_RESETS = 0.2  # of the readings, of a thermometer whose supply is too weak
_DRIFT_PER_H = 0.2  # of the value, and as many degrees of a small one


class Sensor:
    """Noise, and an offset that moves slowly.

    Args:
        rng: of its machine.
        noise: standard deviation of a reading.
        drift: of the offset, per square root of an hour.
    """

    def __init__(self, rng: random.Random, noise: float, drift: float) -> None:
        self._rng = rng
        self._noise = noise
        self._drift = drift / 60  # per square root of a second
        self._offset = rng.gauss(0, noise)

    def read(self, true: float, seconds: float) -> float:
        """What it shows, `seconds` after it was read before."""
        self._offset += self._rng.gauss(0, self._drift * math.sqrt(seconds))
        return true + self._offset + self._rng.gauss(0, self._noise)


@dataclass(slots=True)
class SensorFault:
    """One sensor of a machine that fails.

    A stuck sensor shows its last good value; one that spikes shows five times its value
    now and then; one that drops out shows nothing, and has a fault code; one that
    drifts moves by a fifth of its value an hour; `power_on` is the 85 °C of a
    thermometer that was reset. Only a dropout is something that a device knows of.

    Attributes:
        sensor: ``zone_0``, ``meter_a``, or the name of a value.
        kind: as above.
        begins_s: how long after the start of the machine.
        lasts_s: for how long.
    """

    sensor: str
    kind: FaultKind
    begins_s: float = 0.0
    lasts_s: float = math.inf
    _held: float | None = None

    @property
    def code(self) -> str:
        """What a device that knows of it says."""
        return f"{self.sensor.replace('meter_', 'pzem_')}:no_reply"

    def is_active(self, age_s: float) -> bool:
        """Whether it fails when its machine has run for so long."""
        return self.begins_s <= age_s < self.begins_s + self.lasts_s

    def shown(
        self, value: float | None, age_s: float, rng: random.Random
    ) -> float | None:
        """What it shows instead of `value`."""
        if value is None or self.kind == "dropout":
            return None
        if self.kind == "stuck":
            self._held = value if self._held is None else self._held
            return self._held
        if self.kind == "spike":
            return value * _SPIKE if rng.random() < _SPIKES else value
        if self.kind == "power_on":
            return POWER_ON_C if rng.random() < _RESETS else value
        hours = (age_s - self.begins_s) / 3600
        return round(value + max(1.0, abs(value)) * _DRIFT_PER_H * hours, 3)


def zones_with(
    fault: SensorFault, thermal: Thermal, age_s: float, rng: random.Random
) -> Thermal:
    """Temperatures as a fault of ``zone_0`` or another zone shows them."""
    zones = list(thermal.temperature_zones or ())
    number = int(fault.sensor.removeprefix("zone_"))
    shown = fault.shown(zones[number], age_s, rng)
    zones[number] = _within(limits.TEMPERATURE_C, shown)
    return msgspec.structs.replace(thermal, temperature_zones=zones)


def meters_with(
    fault: SensorFault, electrical: Electrical, age_s: float, rng: random.Random
) -> Electrical:
    """Readings as a fault of ``meter_a`` or another meter shows them.

    A dropout is one of the meter; else it is the current that is wrong.
    """
    phase = fault.sensor.removeprefix("meter_")
    quantities = ["current"]
    if fault.kind == "dropout":
        quantities += ["voltage", "active_power", "energy_wh"]
    changed = {}
    for quantity in quantities:
        phases = getattr(electrical, quantity)
        shown = fault.shown(getattr(phases, phase), age_s, rng)
        value = _within(limits.CURRENT_A, shown) if quantity == "current" else shown
        changed[quantity] = msgspec.structs.replace(phases, **{phase: value})
    return msgspec.structs.replace(electrical, **changed)


def _within(ends: tuple[float, float], value: float | None) -> float | None:
    """What an input can show at most."""
    return None if value is None else min(max(value, ends[0]), ends[1])


def some_fault(sensors: list[str], rng: random.Random) -> SensorFault:
    """One that begins within the first minute and stays."""
    sensor = rng.choice(sensors)
    kinds = [k for k in FAULT_KINDS if k != "power_on" or sensor.startswith("zone_")]
    return SensorFault(sensor, rng.choice(kinds), rng.uniform(5, 60))
