"""Threshold alerts, evaluated on the device: what the config topic names `alerts`.

An alert is a fault code: the field as InfluxDB has it, and `high` or `low`, such as
`thermal_temperature_zones_0:high`. It ends when the value is back by the band of its
quantity, so that a value at its threshold does not flicker. Without a value no
alert is reported; the fault code of the sensor is.
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
        wanted: field -> {"min", "max"}, as the config message has them. It is emptied:
            both at once take 4 KB more.

    Raises:
        ValueError: a field that this device does not measure, or a minimum above its
            maximum.
    """

    def __init__(self, wanted):
        self._rules = [_rule(field, wanted.pop(field)) for field in sorted(wanted)]
        self._raised = {}  # field -> its code, or None

    def evaluate(self, window):
        """Compare the means of a window; gives the codes of the alerts."""
        codes = []
        for rule in self._rules:
            value = window.mean(rule[1])
            if value is None:
                continue  # what was raised stays raised, and is not reported
            code = self._code(rule, value)
            self._raised[rule[0]] = code
            if code is not None:
                codes.append(code)
        return codes

    def _code(self, rule, value):
        """The code that a value raises, or keeps until it is back by the band."""
        field, _, band, low, high = rule
        raised = self._raised.get(field)
        for code, threshold, sign in (
            (field + ":high", high, 1),
            (field + ":low", low, -1),
        ):
            if threshold is not None:
                beyond = sign * (value - threshold)
                if beyond > (-band if raised == code else 0):
                    return code
        return None


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
