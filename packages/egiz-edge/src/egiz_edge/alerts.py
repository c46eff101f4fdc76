"""Threshold alerts, evaluated on the device: what the config topic names `alerts`.

An alert is a fault code: the field as InfluxDB has it, and `high` or `low`, such as
`thermal_temperature_zones_0:high`. It ends when the value is back by the band of its
quantity, so that a value at its threshold does not flicker; and when there is no value,
for then nobody knows.
"""

# Quantity in the window -> (field, decimal digits of the scaled integer, band in it).
_PER_PHASE = {
    "u": ("electrical_voltage_", 1, 10),  # 1 V
    "i": ("electrical_current_", 3, 100),  # 0.1 A
    "p": ("electrical_active_power_", 1, 100),  # 10 W
}
_ALONE = {
    "electrical_power_factor": ("pf", 2, 2),  # 0.02
    "electrical_frequency": ("f", 1, 1),  # 0.1 Hz
}
_ZONE = "thermal_temperature_zones_"
_ZONE_DIGITS, _ZONE_BAND = 2, 50  # 0.5 °C
_PHASES = "abc"


class Alerts:
    """The alerts of a configuration.

    Args:
        wanted: field -> {"min", "max"}, as the config message has them.

    Raises:
        ValueError: a field that this device does not measure, or a minimum above its
            maximum.
    """

    def __init__(self, wanted):
        self._rules = [_rule(field, wanted[field]) for field in sorted(wanted)]
        self._codes = []  # of the last window

    def evaluate(self, window):
        """Compare the means of a window; gives the codes of the alerts."""
        codes = [self._code(rule, window) for rule in self._rules]
        self._codes = [code for code in codes if code is not None]
        return self._codes

    def _code(self, rule, window):
        field, name, band, low, high = rule
        value = window.mean(name)
        if value is None:
            return None
        if high is not None and value > high - self._kept(field + ":high", band):
            return field + ":high"
        if low is not None and value < low + self._kept(field + ":low", band):
            return field + ":low"
        return None

    def _kept(self, code, band):
        """How far back a value must be: by the band, once the alert is raised."""
        return band if code in self._codes else 0


def _rule(field, thresholds):
    name, digits, band = _measured(field)
    low = _scaled(thresholds.get("min"), digits)
    high = _scaled(thresholds.get("max"), digits)
    if low is not None and high is not None and low > high:
        raise ValueError("alerts.%s: min above max" % field)
    return field, name, band, low, high


def _measured(field):
    if field in _ALONE:
        return _ALONE[field]
    for quantity, (stem, digits, band) in _PER_PHASE.items():
        if field[: len(stem)] == stem and field[len(stem) :] in tuple(_PHASES):
            return quantity + field[-1], digits, band
    number = field[len(_ZONE) :]
    if field.startswith(_ZONE) and number.isdigit():
        return "t%d" % int(number), _ZONE_DIGITS, _ZONE_BAND
    raise ValueError("alerts.%s: not measured here" % field[:40])


def _scaled(threshold, digits):
    return None if threshold is None else round(threshold * 10**digits)
