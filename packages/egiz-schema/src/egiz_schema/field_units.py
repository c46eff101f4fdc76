"""The unit of each field, for who shows a value."""

from collections.abc import Mapping
from types import MappingProxyType

from egiz_schema.address import Kind
from egiz_schema.cache import cached_by_topic


@cached_by_topic
def units(kind: Kind = "telemetry") -> Mapping[str, str]:
    """UCUM codes by path: ``units()["thermal.setpoint"] == "Cel"``.

    A list has the unit of its items (``thermal.temperature_zones``); a number without a
    unit has ``"1"``; texts and truth values have none, and are not here. The units of
    `values` and `counters` are what a device declares in its birth.
    """
    from egiz_schema.documents.fields import fields  # noqa: PLC0415  # for who asks

    return MappingProxyType(
        {
            ".".join(field.path).removesuffix("[]"): field.unit
            for field in fields(kind)
            if field.unit and "*" not in field.path
        }
    )
