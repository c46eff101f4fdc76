"""The unit of a field, as the contract's dictionary says, in the words of Grafana."""

import re
from functools import cache

from egiz_schema.documents import dictionary
from grafana_foundation_sdk.models import units

_OF_UCUM = {
    "": units.NoUnit,  # a text, or a boolean
    "%": units.Percent,
    "1": units.Short,
    "A": units.Ampere,
    "By": units.BytesIEC,
    "Cel": units.Celsius,
    "Hz": units.Hertz,
    "V": units.Volt,
    "W": units.Watt,
    "W.h": units.WattHour,
    "dB[mW]": units.DecibelMilliWatt,
    "s": units.DurationSeconds,
}


@cache
def _ucum() -> dict[str, str]:
    return {row["influx_field"]: row["unit"] for row in dictionary.rows()}


def unit_of(field: str) -> str:
    """Grafana's name of the unit of a field, such as ``electrical_voltage_a``.

    Raises:
        KeyError: the contract has no such field.
    """
    return _OF_UCUM[_ucum()[re.sub(r"_\d+$", "_N", field)]]
