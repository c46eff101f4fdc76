"""The vocabulary: one annotated type per quantity, with its unit, range and meaning.

A limit is written once, in `egiz_schema.limits`; a type is written once, here. msgspec
reads `Meta`; pydantic and hypothesis read what `Shared` makes of the same `Meta`.
Units are UCUM codes ("Cel" is °C, "By" is bytes, "1" is none).
"""

from collections.abc import Callable, Iterator
from functools import partial
from operator import ne
from typing import Annotated, Any, Literal

from msgspec import Meta

from egiz_schema import limits, topics
from egiz_schema.errors import explain
from egiz_schema.orders import ACTIONS
from egiz_schema.quantities import QUANTITIES


class Shared:
    """A `Meta`, in the protocol of annotated_types (grouped metadata).

    That package and pydantic are imported only when somebody asks, so that the contract
    needs msgspec and nothing else.

    Args:
        meta: what msgspec reads.
        holds: what no bound can say; `egiz_schema.repair` asks it, too.
    """

    __is_annotated_types_grouped_metadata__: Literal[True] = True

    def __init__(self, meta: Meta, holds: Callable[[Any], bool] | None = None) -> None:
        self.meta = meta
        self.holds = holds

    def __iter__(self) -> Iterator[Any]:
        import annotated_types as at  # noqa: PLC0415  # see the class

        constraints = {
            at.Ge: self.meta.ge,
            at.Le: self.meta.le,
            at.MinLen: self.meta.min_length,
            at.MaxLen: self.meta.max_length,
        }
        yield from (
            kind(value) for kind, value in constraints.items() if value is not None
        )
        yield _ForPydantic(self)


class _ForPydantic:
    """What no bound says: the other rule of a type, and its part of a schema."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], Any]
    ) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415  # see `Shared`

        schema = handler(source)
        if self._shared.holds is None:
            return schema
        return core_schema.no_info_after_validator_function(self._checked, schema)

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        meta = self._shared.meta
        described = handler(schema) | {"description": meta.description}
        if meta.examples:
            described["examples"] = meta.examples
        return described | (meta.extra_json_schema or {})

    def _checked(self, value: Any) -> Any:
        from pydantic_core import PydanticCustomError  # noqa: PLC0415  # see `Shared`

        holds = self._shared.holds
        if holds is not None and not holds(value):
            reason = broken_rule(holds, value)
            raise PydanticCustomError(reason, "{rule}", {"rule": explain(reason)})
        return value


def is_text(value: str) -> bool:
    """`limits.is_text`, as fast as CPython can."""
    return value.isascii() and value.isprintable()


def broken_rule(holds: Callable[[Any], bool], value: object) -> str:
    """The reason of a value for which `Shared.holds` does not hold."""
    if not isinstance(value, str):
        return "range"
    # The only text that is counted in bytes.
    if holds is limits.is_ssid and len(value.encode()) > limits.SSID_BYTES_MAX:
        return "range"
    if holds is topics.is_device_id and is_text(value):
        return "bad_device_id"
    return "charset"


def _between(
    span: tuple[float, float], unit: str, description: str, never: float | None = None
) -> tuple[Meta, Shared]:
    extra: dict[str, Any] = {"x-unit": unit}
    if never is not None:
        extra["not"] = {"const": never}
    meta = Meta(
        ge=span[0], le=span[1], description=description, extra_json_schema=extra
    )
    return meta, Shared(meta, None if never is None else partial(ne, never))


def _text(
    description: str,
    known: tuple[str, ...] = (),
    span: tuple[int | None, int] = (None, limits.TEXT_MAX),
    pattern: str = "^[ -~]*$",
    holds: Callable[[str], bool] = is_text,
) -> tuple[Meta, Shared]:
    # Known values are examples, not an enumeration: a reader keeps what it has not met.
    meta = Meta(
        min_length=span[0],
        max_length=span[1],
        description=description,
        examples=list(known) if known else None,
        extra_json_schema={"pattern": pattern},
    )
    return meta, Shared(meta, holds)


def _at_most(count: int, description: str) -> tuple[Meta, Shared]:
    meta = Meta(max_length=count, description=description)
    return meta, Shared(meta)


_NATURAL = (0, limits.INTEGER_MAX)
_U32 = (0, limits.U32_MAX)
_EXACT = (-limits.INTEGER_MAX, limits.INTEGER_MAX)
CHANNEL_PATTERN = "^[a-z][a-z0-9_]*$"
_NOT_EMPTY = (1, limits.TEXT_MAX)

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
ZoneCelsius = Annotated[
    float,
    *_between(limits.TEMPERATURE_C, "Cel", "Temperature", limits.DISCONNECTED_C),
]
Zones = Annotated[
    list[ZoneCelsius | None],
    *_at_most(limits.ZONES_MAX, "Zone by zone; null is a zone that was not read"),
]
Number = Annotated[float, *_between(_EXACT, "1", "As large as an integer")]
Natural = Annotated[int, *_between(_NATURAL, "1", "Counts up, or starts again")]
ChannelName = Annotated[
    str,
    *_text(
        "What the device calls it: a-z, 0-9 and _",
        span=(1, limits.CHANNEL_NAME_MAX),
        pattern=CHANNEL_PATTERN,
        holds=limits.is_channel_name,
    ),
]
Values = Annotated[
    dict[ChannelName, Number | None],
    *_at_most(limits.CHANNELS_MAX, "Measured, in the unit that the birth declares"),
]
Counters = Annotated[
    dict[ChannelName, Natural | None],
    *_at_most(limits.CHANNELS_MAX, "Counted, in the unit that the birth declares"),
]
Contacts = Annotated[
    dict[ChannelName, bool | None],
    *_at_most(limits.CHANNELS_MAX, "Open, or on: true; closed, or off: false"),
]
ChannelCount = _at_most(
    3 * limits.CHANNELS_MAX, "What each value, counter and contact measures"
)
Quantity = Annotated[
    str, *_text("What it is a measure of", tuple(QUANTITIES), _NOT_EMPTY)
]

# When, and which of them.
Timestamp = Annotated[
    int, *_between(limits.TIMESTAMP_S, "s", "Seconds since 1970-01-01, UTC")
]
DeviceTime = Annotated[
    int,
    *_between(
        (-limits.INTEGER_MAX, limits.TIMESTAMP_S[1]),
        "s",
        "Seconds since 1970-01-01, UTC; before 2020 only if time_synced is false",
    ),
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
        Shared(device_id, topics.is_device_id),
    ),
]

# How machine and device are.
OperationalState = Annotated[
    str, *_text("What the machine does", limits.OPERATIONAL_STATES)
]
DeviceState = Annotated[
    str, *_text("What the device does", limits.DEVICE_STATES, _NOT_EMPTY)
]
Decibels = Annotated[int, *_between(limits.RSSI_DBM, "dB[mW]", "Wi-Fi signal")]
Uptime = Annotated[int, *_between(_NATURAL, "s", "Time since boot")]
FreeMemory = Annotated[int, *_between(_NATURAL, "By", "Free heap")]
Depth = Annotated[int, *_between(_NATURAL, "1", "Messages that wait in the outbox")]
Dropped = Annotated[int, *_between(_NATURAL, "1", "Messages lost since boot")]
Samples = Annotated[
    int, *_between(_NATURAL, "1", "Samples of the mean that lacks the most of them")
]
SamplesExpected = Annotated[
    int, *_between(_NATURAL, "1", "Samples that this mean would have had")
]
Text = Annotated[str, *_text("Printable ASCII")]
Name = Annotated[str, *_text("Printable ASCII, not empty", span=_NOT_EMPTY)]
Codes = Annotated[
    list[Annotated[str, *_text("An open set, such as pzem_b:no_reply")]],
    *_at_most(limits.CODES_MAX, "What is wrong; empty is nothing"),
]
Sensors = Annotated[
    list[Annotated[str, *_text("What was found, such as pzem_a or ds18b20:28ff…")]],
    *_at_most(limits.CODES_MAX, "Sensors that the device has"),
]
Action = Annotated[str, *_text("What to do", tuple(ACTIONS), _NOT_EMPTY)]
Abilities = Annotated[
    list[Annotated[str, *_text("An action that it obeys", tuple(ACTIONS))]],
    *_at_most(limits.CODES_MAX, "What the device can do besides measuring"),
]
OtaState = Annotated[str, *_text("Step of the update", limits.OTA_STATES, _NOT_EMPTY)]
Checksum = Annotated[int, *_between(_U32, "1", "CRC-32 of the payload's bytes")]
Percent = Annotated[int, *_between((0, 100), "%", "Share done")]

# What is wanted of the device.
Revision = Annotated[int, *_between(_U32, "1", "Of the configuration; it only grows")]
SamplingMs = Annotated[
    int, *_between(limits.SAMPLING_MS, "ms", "Time between two readings")
]
PublishMs = Annotated[
    int, *_between(limits.PUBLISH_MS, "ms", "Time between two messages")
]
ReportMs = Annotated[
    int, *_between(limits.REPORT_MS, "ms", "Time between two status messages")
]
Ssid = Annotated[
    str,
    *_text(
        "UTF-8 of at most 32 bytes, without control characters",
        span=(None, limits.SSID_BYTES_MAX),
        pattern="^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        holds=limits.is_ssid,
    ),
]
Url = Annotated[str, *_text("http or https, printable ASCII", span=(1, limits.URL_MAX))]
KeySet = Annotated[int, *_between(_U32, "1", "Number of the set of release keys")]
BufferSize = Annotated[
    int, *_between(limits.BUFFER_MESSAGES, "1", "Messages kept in an outage")
]
ZoneNames = Annotated[
    dict[Name, Text], *_at_most(limits.ZONES_MAX, "ROM id of a sensor to its zone")
]
AlertCount = _at_most(limits.ALERTS_MAX, "Field, as in InfluxDB, to its thresholds")
Threshold = Annotated[float, *_between(_EXACT, "1", "In the unit of the field")]
Integer = Annotated[int, *_between(_EXACT, "1", "Exact in JSON")]
ArgumentText = Annotated[str, *_text("Printable ASCII", span=(None, limits.URL_MAX))]
Arguments = Annotated[
    dict[Name, ArgumentText | Integer | Number | bool],
    *_at_most(limits.ARGUMENTS_MAX, "Of the action"),
]
