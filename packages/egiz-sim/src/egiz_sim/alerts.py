"""Threshold alerts of a config.

They are fault codes: a field, as a database has it, and ``high`` or ``low``.
An alert ends when the value is back by the band of its quantity, as on the firmware.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from egiz_sim.machine import Machine, Reading

_BANDS = {"voltage": 1.0, "current": 0.1, "active_power": 10.0}
_PF_BAND, _HZ_BAND, _ZONE_BAND = 0.02, 0.1, 0.5
_Read = Callable[[Reading], float | None]


class AlertError(ValueError):
    """An alert that cannot be watched; its text says why."""


class _Rule(NamedTuple):
    field: str
    read: _Read
    band: float
    low: float | None
    high: float | None

    def code(self, value: float, raised: str | None) -> str | None:
        """What a value raises, or keeps until it is back by the band."""
        for word, threshold, sign in (("high", self.high, 1), ("low", self.low, -1)):
            if threshold is not None:
                code = f"{self.field}:{word}"
                kept = self.band if raised == code else 0.0
                if sign * (value - threshold) > -kept:
                    return code
        return None


class Alerts:
    """The alerts of one configuration.

    Args:
        wanted: field, as a database has it, to ``{"min", "max"}``.
        machine: what is measured.

    Raises:
        AlertError: for a field that the machine does not have, or ends that are wrong.
    """

    def __init__(self, wanted: Mapping[str, Any], machine: Machine) -> None:
        known = _fields(machine)
        self._rules = [_rule(field, wanted[field], known) for field in sorted(wanted)]
        self._raised: dict[str, str | None] = {}

    def evaluate(self, reading: Reading) -> list[str]:
        """The codes of this reading."""
        codes = []
        for rule in self._rules:
            value = rule.read(reading)
            if value is None:
                continue  # what was raised stays so, and is not reported
            code = rule.code(value, self._raised.get(rule.field))
            self._raised[rule.field] = code
            if code is not None:
                codes.append(code)
        return codes


def _rule(
    field: str, ends: Mapping[str, Any] | None, known: Mapping[str, tuple[_Read, float]]
) -> _Rule:
    if field not in known:
        raise AlertError(f"alerts.{field[:40]}: not measured here")
    low, high = (ends or {}).get("min"), (ends or {}).get("max")
    if low is not None and high is not None and low > high:
        raise AlertError(f"alerts.{field}: min above max")
    return _Rule(field, *known[field], low, high)


def _fields(machine: Machine) -> dict[str, tuple[_Read, float]]:
    """Field -> how it is read, and its band."""
    found: dict[str, tuple[_Read, float]] = {}
    if machine.has_meters:
        found["electrical_power_factor"] = (_electrical("power_factor"), _PF_BAND)
        found["electrical_frequency"] = (_electrical("frequency"), _HZ_BAND)
        for quantity, band in _BANDS.items():
            for phase in "abc":
                read = _electrical(quantity, phase)
                found[f"electrical_{quantity}_{phase}"] = (read, band)
    for number in range(machine.zones):
        found[f"thermal_temperature_zones_{number}"] = (_zone(number), _ZONE_BAND)
    return found


def _electrical(quantity: str, phase: str | None = None) -> _Read:
    def read(reading: Reading) -> float | None:
        value = getattr(reading.electrical, quantity)
        found: float | None = value if phase is None else getattr(value, phase)
        return found

    return read


def _zone(number: int) -> _Read:
    def read(reading: Reading) -> float | None:
        zones = reading.thermal.temperature_zones if reading.thermal else None
        return zones[number] if zones and number < len(zones) else None

    return read
