"""The messages as pydantic models (extra ``[pydantic]``): for APIs and for tools.

The same annotated types and the same verdicts as `egiz_schema.messages`, and slower; in
exchange, `problems` names everything that is wrong with a payload at once.
"""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from egiz_schema import codec, wire
from egiz_schema import types as t
from egiz_schema.address import Topic, parse_topic
from egiz_schema.errors import DecodeError
from egiz_schema.pydantic_errors import in_order


class _Part(BaseModel):
    """Strict, as JSON is; ignores unknown fields; never shows input in an error."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class VoltagePhases(_Part):
    """RMS voltage per phase, V."""

    a: t.Volts | None = None
    b: t.Volts | None = None
    c: t.Volts | None = None


class CurrentPhases(_Part):
    """RMS current per phase, A."""

    a: t.Amperes | None = None
    b: t.Amperes | None = None
    c: t.Amperes | None = None


class PowerPhases(_Part):
    """Active power per phase, W."""

    a: t.Watts | None = None
    b: t.Watts | None = None
    c: t.Watts | None = None


class EnergyPhases(_Part):
    """Energy counter per phase, Wh."""

    a: t.WattHours | None = None
    b: t.WattHours | None = None
    c: t.WattHours | None = None


class Electrical(_Part):
    """What the power meters read; frequency in Hz."""

    voltage: VoltagePhases | None = None
    current: CurrentPhases | None = None
    power_factor: t.PowerFactor | None = None
    frequency: t.Hertz | None = None
    active_power: PowerPhases | None = None
    energy_wh: EnergyPhases | None = None


class Thermal(_Part):
    """Temperatures in °C, zone by zone; ``None`` is a zone that could not be read."""

    temperature_zones: t.Zones | None = None
    setpoint: t.Celsius | None = None


class Health(_Part):
    """How machine and device are: `status` of telemetry, `health` of status."""

    operational_state: t.OperationalState | None = None
    wifi_rssi: t.Decibels | None = None
    uptime_seconds: t.Uptime | None = None
    free_memory_bytes: t.FreeMemory | None = None
    buffer_depth: t.Depth | None = None
    dropped: t.Dropped | None = None
    time_synced: bool | None = None
    fault_codes: t.Codes = []


class Telemetry(_Part):
    """One reading of one device."""

    device_id: t.DeviceId
    timestamp: t.Timestamp
    v: t.Version = 1
    ms: t.Milliseconds = 0
    seq: t.Sequence | None = None
    boot: t.Boot | None = None
    buffered: bool = False
    electrical: Electrical | None = None
    thermal: Thermal | None = None
    status: Health | None = None


class AppliedConfig(_Part):
    """Which configuration the device runs; `error` says why a newer one was refused."""

    rev: t.Revision
    applied: bool
    error: t.Text | None = None


class CommandResult(_Part):
    """How the last command ended."""

    id: t.Name
    result: t.Name
    error: t.Text | None = None


class Ota(_Part):
    """How far an update is."""

    state: t.Name
    version: t.Text | None = None
    progress: t.Percent | None = None
    error: t.Text | None = None


class Status(_Part):
    """Birth, health and last will of a device."""

    device_id: t.DeviceId
    state: t.DeviceState
    timestamp: t.Timestamp | None = None
    v: t.Version = 1
    ms: t.Milliseconds = 0
    boot: t.Boot | None = None
    # BaseModel has a `schema` of its own.
    schema_version: t.Text | None = Field(default=None, alias="schema")
    firmware_version: t.Text | None = None
    reset_cause: t.Text | None = None
    ip: t.Text | None = None
    config: AppliedConfig | None = None
    last_command: CommandResult | None = None
    health: Health | None = None
    sensors: t.Sensors = []
    ota: Ota | None = None


class Alert(_Part):
    """Thresholds of one field: outside of them is worth an alarm."""

    min: t.Threshold | None = None
    max: t.Threshold | None = None


class Config(_Part):
    """What the device should do: the desired state."""

    device_id: t.DeviceId
    v: t.Version = 1
    rev: t.Revision | None = None
    sampling_rate_ms: t.SamplingMs | None = None
    publish_rate_ms: t.PublishMs | None = None
    buffer_size: t.BufferSize | None = None
    wifi_ssid: t.Text | None = None
    mqtt_broker: t.Text | None = None
    zones: t.ZoneNames | None = None
    alerts: Annotated[dict[t.Name, Alert], *t.AlertCount] | None = None


class Command(_Part):
    """An order, refused after `expires_at`."""

    device_id: t.DeviceId
    id: t.Name
    action: t.Name
    v: t.Version = 1
    args: t.Arguments | None = None
    expires_at: t.Timestamp | None = None


Message = Telemetry | Status | Config | Command

MODELS: dict[str, type[Message]] = {
    "telemetry": Telemetry,
    "status": Status,
    "config": Config,
    "command": Command,
}


def decode(topic: Topic | str, payload: wire.Payload) -> Message:
    """`egiz_schema.decode`, with pydantic: the same verdict, the same reason.

    Raises:
        TopicError: the topic is not one of the contract's.
        DecodeError: of `problems`, the first.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    message, found = _read(topic, payload)
    if found:
        raise found[0]
    assert message is not None  # or something would have been found
    return message


def problems(topic: Topic | str, payload: wire.Payload) -> list[DecodeError]:
    """Everything that is wrong with a payload, in the order in which it is read.

    Raises:
        TopicError: the topic is not one of the contract's.
    """
    if isinstance(topic, str):
        topic = parse_topic(topic)
    return _read(topic, payload)[1]


def _read(
    topic: Topic, payload: wire.Payload
) -> tuple[Message | None, list[DecodeError]]:
    try:
        document = wire.parse(wire.as_bytes(payload))
        codec.check_version(document)
    except DecodeError as error:
        return None, [error]
    try:
        message = MODELS[topic.kind].model_validate(document)
    except ValidationError as error:
        return None, in_order(error.errors(include_url=False), document)
    return message, list(_afterthoughts(topic, message))


def _afterthoughts(topic: Topic, message: Message) -> Iterator[DecodeError]:
    """What no type can say."""
    members = message.model_dump(exclude_unset=True)
    yield from codec.faulty_texts(members, "$")
    if isinstance(message, Telemetry) and not any(
        _says_something(members.get(part))
        for part in ("electrical", "thermal", "status")
    ):
        yield codec.empty()
    if message.device_id != topic.device_id:
        yield codec.mismatch(topic)


def _says_something(part: Any) -> bool:
    if isinstance(part, dict):
        part = part.values()
    elif not isinstance(part, list):
        return part is not None
    return any(map(_says_something, part))
