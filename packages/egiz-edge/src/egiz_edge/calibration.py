"""Readings, corrected by what a better instrument has shown: gain, then offset.

Loaded only where the settings have a calibration. A meter that measures no current or
power has no offset there: it would be a load that does not exist.
"""

_PER_MILLION = 1000000
# Field -> (place in a reading of drivers/pzem.py, decimal digits of the integer there).
_OF_METER = {
    "electrical_voltage_": (0, 1),
    "electrical_current_": (1, 3),
    "electrical_active_power_": (2, 1),
}
_ZONE_DIGITS = 2


def meter(part, phase, given):
    """A `Pzem`, or what corrects its readings.

    Args:
        part: the meter.
        phase: its letter.
        given: the setting `calibration`.
    """
    terms = {}
    for field, (place, digits) in _OF_METER.items():
        if field + phase in given:
            terms[place] = _terms(given[field + phase], digits)
    return _Meter(part, terms) if terms else part


def zone(part, name, given):
    """A thermometer or thermocouple, or what corrects its readings.

    Args:
        part: the sensor.
        name: its ROM id in hexadecimal digits, or its select line.
        given: the setting `calibration`.
    """
    return _Zone(part, _terms(given[name], _ZONE_DIGITS)) if name in given else part


class _Meter:
    def __init__(self, part, terms):
        self._part = part
        self._terms = terms
        self.reset_energy = part.reset_energy

    async def read(self):
        reading = list(await self._part.read())
        for place, terms in self._terms.items():
            if reading[place]:
                reading[place] = max(0, _corrected(reading[place], terms))
        return tuple(reading)


class _Zone:
    def __init__(self, part, terms):
        self._part = part
        self._terms = terms

    async def read(self):
        return _corrected(await self._part.read(), self._terms)


def _terms(given, digits):
    """(Gain in millionths, offset as the scaled integer); floats end here."""
    gain = given.get("gain", 1)
    return round(gain * _PER_MILLION), round(given.get("offset", 0) * 10**digits)


def _corrected(value, terms):
    return (value * terms[0] + _PER_MILLION // 2) // _PER_MILLION + terms[1]
