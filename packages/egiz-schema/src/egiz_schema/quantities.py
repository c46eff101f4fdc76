"""The quantities that channels are known to measure: one table for all readers.

A birth declares a channel with a quantity, and often without a unit: then its unit is
the one here. It is an open set: a channel of another quantity is kept and shown with
the unit that it declares. Units are UCUM codes.
"""

from typing import NamedTuple

from egiz_schema.limits import INTEGER_MAX


class Quantity(NamedTuple):
    """What is known of a quantity.

    Attributes:
        unit: UCUM code of values without a unit of their own; "" for a contact.
        low, high: what a sensor of a plant can say, in `unit`, both included.
        device_class: of Home Assistant, by quantity: kilograms are a weight, and so are
            grams. None where Home Assistant has no class.
        group: the member of telemetry in which it usually is.
    """

    unit: str
    low: float
    high: float
    device_class: str | None
    group: str = "values"


QUANTITIES = {
    # values
    "absolute_pressure": Quantity("kPa", 0, 1_000_000, "pressure"),
    "air_flow": Quantity("m3/h", -1_000_000, 1_000_000, "volume_flow_rate"),
    "carbon_dioxide": Quantity("[ppm]", 0, 1_000_000, "carbon_dioxide"),
    "conductivity": Quantity("uS/cm", 0, 10_000_000, "conductivity"),
    "current": Quantity("A", -10_000, 10_000, "current"),
    "density": Quantity("kg/m3", 0, 30_000, None),
    "dew_point": Quantity("Cel", -200, 1800, "temperature"),
    "distance": Quantity("m", -100_000, 100_000, "distance"),
    "duration": Quantity("s", 0, INTEGER_MAX, "duration"),
    "flow": Quantity("L/min", -1_000_000, 1_000_000, "volume_flow_rate"),
    "frequency": Quantity("Hz", 0, 1_000_000_000, "frequency"),
    "humidity": Quantity("%", 0, 100, "humidity"),
    "illuminance": Quantity("lx", 0, 1_000_000, "illuminance"),
    "level": Quantity("%", 0, 100, None),
    "moisture": Quantity("%", 0, 100, "moisture"),
    "particles": Quantity("ug/m3", 0, 1_000_000, "pm25"),
    "ph": Quantity("[pH]", -2, 16, "ph"),
    "power": Quantity("W", -1_000_000_000, 1_000_000_000, "power"),
    "pressure": Quantity("bar", -1, 10_000, "pressure"),
    "redox": Quantity("mV", -5000, 5000, "voltage"),
    "rotational_speed": Quantity("/min", -1_000_000, 1_000_000, None),
    "setpoint": Quantity("1", -INTEGER_MAX, INTEGER_MAX, None),
    "share": Quantity("%", -1000, 1000, None),
    "sound": Quantity("dB", 0, 200, "sound_pressure"),
    "speed": Quantity("m/s", -1000, 1000, "speed"),
    "temperature": Quantity("Cel", -200, 1800, "temperature"),
    "torque": Quantity("N.m", -1_000_000, 1_000_000, None),
    "vibration": Quantity("mm/s", 0, 10_000, "speed"),
    "voltage": Quantity("V", -1_000_000, 1_000_000, "voltage"),
    "volume": Quantity("L", 0, 1_000_000_000, "volume_storage"),
    "weight": Quantity("kg", -1_000_000, 1_000_000, "weight"),
    # counters
    "cycles": Quantity("{cycle}", 0, INTEGER_MAX, None, "counters"),
    "energy": Quantity("W.h", 0, INTEGER_MAX, "energy", "counters"),
    "gas": Quantity("m3", 0, INTEGER_MAX, "gas", "counters"),
    "operating_time": Quantity("s", 0, INTEGER_MAX, "duration", "counters"),
    "pieces": Quantity("{piece}", 0, INTEGER_MAX, None, "counters"),
    "rejects": Quantity("{piece}", 0, INTEGER_MAX, None, "counters"),
    "water": Quantity("L", 0, INTEGER_MAX, "water", "counters"),
    # contacts
    "door": Quantity("", 0, 1, "door", "contacts"),
    "leak": Quantity("", 0, 1, "moisture", "contacts"),
    "light": Quantity("", 0, 1, "light", "contacts"),
    "lock": Quantity("", 0, 1, "lock", "contacts"),
    "motion": Quantity("", 0, 1, "motion", "contacts"),
    "presence": Quantity("", 0, 1, "occupancy", "contacts"),
    "problem": Quantity("", 0, 1, "problem", "contacts"),
    "running": Quantity("", 0, 1, "running", "contacts"),
    "safety": Quantity("", 0, 1, "safety", "contacts"),
    "smoke": Quantity("", 0, 1, "smoke", "contacts"),
    "window": Quantity("", 0, 1, "window", "contacts"),
}
