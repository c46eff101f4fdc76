"""The vocabulary: one annotated type per physical quantity, with unit and range.

Ranges come from `egiz_schema.limits`, so that a limit is written once.
"""

from typing import Annotated

from msgspec import Meta

from egiz_schema import limits, topics


def _between(span: tuple[float, float], description: str, unit: str) -> Meta:
    low, high = span
    return Meta(
        ge=low, le=high, description=description, extra_json_schema={"x-unit": unit}
    )


Volts = Annotated[float, _between(limits.VOLTAGE_V, "RMS voltage", "V")]
Amperes = Annotated[float, _between(limits.CURRENT_A, "RMS current", "A")]
Hertz = Annotated[float, _between(limits.FREQUENCY_HZ, "Line frequency", "Hz")]
Watts = Annotated[float, _between(limits.ACTIVE_POWER_W, "Active power", "W")]
WattHours = Annotated[
    int, _between((0, limits.INTEGER_MAX), "Energy counter, only resets", "Wh")
]
PowerFactor = Annotated[float, _between(limits.POWER_FACTOR, "Power factor", "1")]
Celsius = Annotated[float, _between(limits.TEMPERATURE_C, "Temperature", "Cel")]
Decibels = Annotated[int, _between(limits.RSSI_DBM, "Wi-Fi signal", "dBm")]
Timestamp = Annotated[int, _between(limits.TIMESTAMP_S, "Seconds since 1970, UTC", "s")]
Milliseconds = Annotated[int, _between(limits.MS, "Added to the timestamp", "ms")]
Seconds = Annotated[int, _between((0, limits.INTEGER_MAX), "Duration", "s")]
Bytes = Annotated[int, _between((0, limits.INTEGER_MAX), "Memory", "By")]
Count = Annotated[int, _between((0, limits.INTEGER_MAX), "How many", "1")]
Percent = Annotated[int, _between((0, 100), "Share done", "%")]
U32 = Annotated[int, _between((0, limits.U32_MAX), "Unsigned 32-bit counter", "1")]
Version = Annotated[int, _between((1, limits.U32_MAX), "Wire major", "1")]
SamplingMs = Annotated[int, _between(limits.SAMPLING_MS, "Sampling period", "ms")]
PublishMs = Annotated[int, _between(limits.PUBLISH_MS, "Publish period", "ms")]
BufferSize = Annotated[int, _between(limits.BUFFER_MESSAGES, "Offline buffer", "1")]

DeviceId = Annotated[
    str,
    Meta(min_length=3, max_length=topics.DEVICE_ID_MAX, description="type-unit"),
]
Text = Annotated[
    str, Meta(max_length=limits.TEXT_MAX, description="Printable ASCII, an open set")
]
Zones = Annotated[
    list[Celsius | None],
    Meta(max_length=limits.ZONES_MAX, description="null: a zone that was not read"),
]
Codes = Annotated[list[Text], Meta(max_length=limits.CODES_MAX)]
