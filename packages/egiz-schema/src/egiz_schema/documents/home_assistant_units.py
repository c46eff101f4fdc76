"""Units and classes as Home Assistant spells them, and which go together.

Home Assistant refuses a sensor with a unit that its class does not know (since 2025.7),
and warns of a state class that it does not expect. The sets are those that were known
then; the micro sign is U+00B5, which earlier and later releases read.
https://developers.home-assistant.io/docs/core/entity/sensor
"""

from typing import NamedTuple

# UCUM to Home Assistant's spelling; what is not here is spelled alike.
_SPELLED = {
    "1": None,
    "/min": "1/min",
    "By": "B",
    "Cel": "°C",
    "MBy": "MB",
    "MW.h": "MWh",
    "N.m": "N·m",
    "W.h": "Wh",
    "[degF]": "°F",
    "[ft_i]": "ft",
    "[gal_us]": "gal",
    "[in_i]": "in",
    "[kn_i]": "kn",
    "[lb_av]": "lb",
    "[mi_i]": "mi",
    "[mi_i]/h": "mph",
    "[oz_av]": "oz",
    "[pH]": None,
    "[ppb]": "ppb",
    "[ppm]": "ppm",
    "[psi]": "psi",
    "[yd_i]": "yd",
    "dB[mW]": "dBm",
    "g/m3": "g/m³",
    "kBy": "kB",
    "kW.h": "kWh",
    "kg/m3": "kg/m³",
    "l": "L",
    "l/h": "L/h",
    "l/min": "L/min",
    "l/s": "L/s",
    "m2": "m²",
    "m3": "m³",
    "m3/h": "m³/h",
    "m3/min": "m³/min",
    "m3/s": "m³/s",
    "mL/s": "mL/s",
    "mg/m3": "mg/m³",
    "ml": "mL",
    "ml/s": "mL/s",
    "uA": "µA",
    "uS/cm": "µS/cm",
    "uV": "µV",
    "ug": "µg",
    "ug/m3": "µg/m³",
}


class Accepted(NamedTuple):
    """What a sensor of a class may be: its units, and whether it measures or counts."""

    units: frozenset[str | None]
    measures: bool = True
    counts: bool = False


def _units(*names: str | None) -> frozenset[str | None]:
    return frozenset(names)


_VOLUMES = _units("L", "mL", "m³", "ft³", "CCF", "gal", "fl. oz.")
_ACCEPTED = {
    "carbon_dioxide": Accepted(_units("ppm")),
    "conductivity": Accepted(_units("S/cm", "mS/cm", "µS/cm")),
    "current": Accepted(_units("A", "mA")),
    "data_size": Accepted(_units("bit", "B", "kB", "MB", "GB"), counts=True),
    "distance": Accepted(
        _units("mm", "cm", "m", "km", "in", "ft", "yd", "mi", "nmi"), counts=True
    ),
    "duration": Accepted(_units("d", "h", "min", "s", "ms"), counts=True),
    "energy": Accepted(
        _units("J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "kcal"),
        measures=False,
        counts=True,
    ),
    "frequency": Accepted(_units("Hz", "kHz", "MHz", "GHz")),
    "gas": Accepted(_units("m³", "ft³", "CCF"), measures=False, counts=True),
    "humidity": Accepted(_units("%")),
    "illuminance": Accepted(_units("lx")),
    "moisture": Accepted(_units("%")),
    "ph": Accepted(_units(None)),
    "pm25": Accepted(_units("µg/m³")),
    "power": Accepted(_units("mW", "W", "kW", "MW", "GW")),
    "power_factor": Accepted(_units(None, "%")),
    "pressure": Accepted(
        _units("Pa", "hPa", "kPa", "mbar", "cbar", "bar", "mmHg", "inHg", "psi")
    ),
    "signal_strength": Accepted(_units("dB", "dBm")),
    "sound_pressure": Accepted(_units("dB", "dBA")),
    "speed": Accepted(
        _units("m/s", "km/h", "mm/s", "mm/h", "mm/d", "in/s", "ft/s", "mph", "kn")
    ),
    "temperature": Accepted(_units("°C", "°F", "K")),
    "voltage": Accepted(_units("V", "mV", "µV", "kV", "MV")),
    "volume_flow_rate": Accepted(
        _units("m³/h", "m³/s", "L/h", "L/min", "L/s", "mL/s", "ft³/min", "gal/min")
    ),
    "volume_storage": Accepted(_VOLUMES),
    "water": Accepted(
        _units("L", "m³", "ft³", "CCF", "gal"), measures=False, counts=True
    ),
    "weight": Accepted(_units("µg", "mg", "g", "kg", "oz", "lb", "st"), counts=True),
}

# Classes of a binary sensor; they have no unit.
_BINARY = frozenset(
    (
        *("battery", "battery_charging", "carbon_monoxide", "cold", "connectivity"),
        *("door", "garage_door", "gas", "heat", "light", "lock", "moisture"),
        *("motion", "moving", "occupancy", "opening", "plug", "power", "presence"),
        *("problem", "running", "safety", "smoke", "sound", "tamper", "vibration"),
        "window",
    )
)


def spelled(unit: str | None) -> str | None:
    """A UCUM unit as Home Assistant writes it; None if there is nothing to write.

    What is counted, as ``{piece}``, is written without the braces.
    """
    if not unit:
        return None
    if unit.startswith("{") and unit.find("}") == len(unit) - 1:
        return unit[1:-1]
    return _SPELLED.get(unit, unit)


def sensor_class(name: str | None, unit: str | None, *, counts: bool) -> str | None:
    """The device class of a sensor, or None if it cannot have it.

    Args:
        name: the class by what is measured.
        unit: in Home Assistant's spelling.
        counts: whether it is a counter.
    """
    accepted = _ACCEPTED.get(name or "")
    if accepted is None or unit not in accepted.units:
        return None
    return name if (accepted.counts if counts else accepted.measures) else None


def contact_class(name: str | None) -> str | None:
    """The device class of a binary sensor, or None if there is no such."""
    return name if name in _BINARY else None
