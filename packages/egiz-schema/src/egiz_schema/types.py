"""The vocabulary: one annotated type per quantity, with its unit, range and meaning.

A limit is written once, in `egiz_schema.limits`; a type is written once, here. msgspec
reads `Meta`; pydantic and hypothesis read what `_Shared` makes of the same `Meta`.
Units are UCUM codes ("Cel" is °C, "By" is bytes, "1" is none).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta

from egiz_schema import limits, topics


class _Shared:
    """A `Meta`, in the protocol of annotated_types (grouped metadata).

    The package is imported only when somebody asks, so that the contract needs msgspec
    and nothing else.
    """

    __is_annotated_types_grouped_metadata__: Literal[True] = True

    def __init__(self, meta: Meta) -> None:
        self._meta = meta

    def __iter__(self) -> Iterator[Any]:
        import annotated_types as at  # noqa: PLC0415  # see the class

        constraints = {
            at.Ge: self._meta.ge,
            at.Le: self._meta.le,
            at.MinLen: self._meta.min_length,
            at.MaxLen: self._meta.max_length,
        }
        return (kind(value) for kind, value in constraints.items() if value is not None)


def _between(
    span: tuple[float, float], unit: str, description: str
) -> tuple[Meta, _Shared]:
    meta = Meta(
        ge=span[0],
        le=span[1],
        description=description,
        extra_json_schema={"x-unit": unit},
    )
    return meta, _Shared(meta)


def _text(
    description: str, known: tuple[str, ...] = (), min_length: int | None = None
) -> tuple[Meta, _Shared]:
    # Known values are examples, not an enumeration: a reader keeps what it has not met.
    meta = Meta(
        min_length=min_length,
        max_length=limits.TEXT_MAX,
        description=description,
        examples=list(known) if known else None,
        extra_json_schema={"pattern": "^[ -~]*$"},
    )
    return meta, _Shared(meta)


def _at_most(count: int, description: str) -> tuple[Meta, _Shared]:
    meta = Meta(max_length=count, description=description)
    return meta, _Shared(meta)


_NATURAL = (0, limits.INTEGER_MAX)
_U32 = (0, limits.U32_MAX)

# What is measured.
Volts = Annotated[float, *_between(limits.VOLTAGE_V, "V", "RMS voltage")]
Amperes = Annotated[float, *_between(limits.CURRENT_A, "A", "RMS current")]
Hertz = Annotated[float, *_between(limits.FREQUENCY_HZ, "Hz", "Line frequency")]
Watts = Annotated[
    float,
    *_between(limits.ACTIVE_POWER_W, "W", "Active power; negative is fed back"),
]
WattHours = Annotated[
    int, *_between(_NATURAL, "W.h", "Energy counter of the meter; it only resets")
]
PowerFactor = Annotated[
    float, *_between(limits.POWER_FACTOR, "1", "Power factor of the machine")
]
Celsius = Annotated[float, *_between(limits.TEMPERATURE_C, "Cel", "Temperature")]
Zones = Annotated[
    list[Celsius | None],
    *_at_most(limits.ZONES_MAX, "Zone by zone; null is a zone that was not read"),
]

# When, and which of them.
Timestamp = Annotated[
    int, *_between(limits.TIMESTAMP_S, "s", "Seconds since 1970-01-01, UTC")
]
Milliseconds = Annotated[int, *_between(limits.MS, "ms", "Added to the timestamp")]
Version = Annotated[int, *_between((1, 1), "1", "Wire major")]
Sequence = Annotated[
    int, *_between(_U32, "1", "Counts telemetry since boot; the first is 0")
]
Boot = Annotated[int, *_between(_U32, "1", "Counts the boots of the device, for ever")]
DeviceId = Annotated[
    str,
    *(
        device_id := Meta(
            min_length=topics.DEVICE_ID_MIN,
            max_length=topics.DEVICE_ID_MAX,
            description="device_type-unit, as in the topic",
            extra_json_schema={"pattern": "^[a-z0-9_]+(-[a-z0-9_]+)+$"},
        ),
        _Shared(device_id),
    ),
]

# How machine and device are.
OperationalState = Annotated[
    str, *_text("What the machine does", limits.OPERATIONAL_STATES)
]
DeviceState = Annotated[
    str, *_text("What the device does", limits.DEVICE_STATES, min_length=1)
]
Decibels = Annotated[int, *_between(limits.RSSI_DBM, "dB[mW]", "Wi-Fi signal")]
Uptime = Annotated[int, *_between(_NATURAL, "s", "Time since boot")]
FreeMemory = Annotated[int, *_between(_NATURAL, "By", "Free heap")]
Depth = Annotated[int, *_between(_NATURAL, "1", "Messages that wait in the outbox")]
Dropped = Annotated[int, *_between(_NATURAL, "1", "Messages lost since boot")]
Text = Annotated[str, *_text("Printable ASCII")]
Name = Annotated[str, *_text("Printable ASCII, not empty", min_length=1)]
Codes = Annotated[
    list[Annotated[str, *_text("An open set, such as pzem_b:no_reply")]],
    *_at_most(limits.CODES_MAX, "What is wrong; empty is nothing"),
]
Sensors = Annotated[
    list[Annotated[str, *_text("What was found, such as pzem_a or ds18b20:28ff…")]],
    *_at_most(limits.CODES_MAX, "Sensors that the device has"),
]
Percent = Annotated[int, *_between((0, 100), "%", "Share done")]

# What is wanted of the device.
Revision = Annotated[int, *_between(_U32, "1", "Of the configuration; it only grows")]
SamplingMs = Annotated[
    int, *_between(limits.SAMPLING_MS, "ms", "Time between two readings")
]
PublishMs = Annotated[
    int, *_between(limits.PUBLISH_MS, "ms", "Time between two messages")
]
BufferSize = Annotated[
    int, *_between(limits.BUFFER_MESSAGES, "1", "Messages kept in an outage")
]
ZoneNames = Annotated[
    dict[Name, Text], *_at_most(limits.ZONES_MAX, "ROM id of a sensor to its zone")
]
AlertCount = _at_most(limits.ALERTS_MAX, "Field, as in InfluxDB, to its thresholds")
Threshold = Annotated[
    float,
    *_between(
        (-limits.INTEGER_MAX, limits.INTEGER_MAX), "1", "In the unit of the field"
    ),
]
Integer = Annotated[
    int, *_between((-limits.INTEGER_MAX, limits.INTEGER_MAX), "1", "Exact in JSON")
]
Number = Annotated[
    float,
    *_between((-limits.INTEGER_MAX, limits.INTEGER_MAX), "1", "As large as an integer"),
]
Arguments = Annotated[
    dict[Name, Text | Integer | Number | bool],
    *_at_most(limits.ARGUMENTS_MAX, "Of the action"),
]
