"""The four messages of the contract, as msgspec structs.

A field that is ``None`` was not measured, and is not on the wire. Decoding validates
types, ranges and characters; building one in code does not, so `egiz_schema.encode`
checks before anything is sent.
"""

from collections.abc import Iterable

import msgspec

from egiz_schema import types as t


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fields on the wire; unknown ones are ignored, so that old readers work."""


class VoltagePhases(_Part, frozen=True, kw_only=True, gc=False):
    """RMS voltage per phase, V."""

    a: t.Volts | None = None
    b: t.Volts | None = None
    c: t.Volts | None = None


class CurrentPhases(_Part, frozen=True, kw_only=True, gc=False):
    """RMS current per phase, A."""

    a: t.Amperes | None = None
    b: t.Amperes | None = None
    c: t.Amperes | None = None


class PowerPhases(_Part, frozen=True, kw_only=True, gc=False):
    """Active power per phase, W."""

    a: t.Watts | None = None
    b: t.Watts | None = None
    c: t.Watts | None = None


class EnergyPhases(_Part, frozen=True, kw_only=True, gc=False):
    """Energy counter per phase, Wh."""

    a: t.WattHours | None = None
    b: t.WattHours | None = None
    c: t.WattHours | None = None


class Electrical(_Part, frozen=True, kw_only=True):
    """What the power meters read; frequency in Hz."""

    voltage: VoltagePhases | None = None
    current: CurrentPhases | None = None
    power_factor: t.PowerFactor | None = None
    frequency: t.Hertz | None = None
    active_power: PowerPhases | None = None
    energy_wh: EnergyPhases | None = None


class Thermal(_Part, frozen=True, kw_only=True):
    """Temperatures in °C, zone by zone; ``None`` is a zone that could not be read."""

    temperature_zones: t.Zones | None = None
    setpoint: t.Celsius | None = None


class Health(_Part, frozen=True, kw_only=True):
    """How machine and device are: `status` of telemetry, `health` of status.

    `operational_state` is running, stopped, fault, or another: an open set.
    """

    operational_state: t.Text | None = None
    wifi_rssi: t.Decibels | None = None
    uptime_seconds: t.Seconds | None = None
    free_memory_bytes: t.Bytes | None = None
    buffer_depth: t.Count | None = None
    dropped: t.Count | None = None
    time_synced: bool | None = None
    fault_codes: t.Codes = []

    def __post_init__(self) -> None:
        check_text((self.operational_state, *self.fault_codes))


class Telemetry(_Part, frozen=True, kw_only=True):
    """One reading of one device (``…/telemetry``, QoS 1, retained)."""

    device_id: t.DeviceId
    timestamp: t.Timestamp
    v: t.Version = 1
    ms: t.Milliseconds = 0
    seq: t.U32 | None = None
    boot: t.U32 | None = None
    buffered: bool = False
    electrical: Electrical | None = None
    thermal: Thermal | None = None
    status: Health | None = None

    def __post_init__(self) -> None:
        if not any(map(_has_value, (self.electrical, self.thermal, self.status))):
            raise ValueError("empty")


class AppliedConfig(_Part, frozen=True, kw_only=True):
    """Which configuration the device runs; `error` says why a newer one was refused."""

    rev: t.U32
    applied: bool
    error: t.Text | None = None

    def __post_init__(self) -> None:
        check_text((self.error,))


class CommandResult(_Part, frozen=True, kw_only=True):
    """How the last command ended."""

    id: t.Text
    result: t.Text
    error: t.Text | None = None

    def __post_init__(self) -> None:
        check_text((self.id, self.result, self.error))


class Ota(_Part, frozen=True, kw_only=True):
    """How far an update is."""

    state: t.Text
    version: t.Text | None = None
    progress: t.Percent | None = None
    error: t.Text | None = None

    def __post_init__(self) -> None:
        check_text((self.state, self.version, self.error))


class Status(_Part, frozen=True, kw_only=True):
    """Birth, health and last will of a device (``…/status``, QoS 1, retained).

    The last will is composed at CONNECT, so it carries no timestamp.
    """

    device_id: t.DeviceId
    state: t.Text
    timestamp: t.Timestamp | None = None
    v: t.Version = 1
    ms: t.Milliseconds = 0
    boot: t.U32 | None = None
    schema: t.Text | None = None
    firmware_version: t.Text | None = None
    reset_cause: t.Text | None = None
    ip: t.Text | None = None
    config: AppliedConfig | None = None
    last_command: CommandResult | None = None
    health: Health | None = None
    sensors: t.Codes = []
    ota: Ota | None = None

    def __post_init__(self) -> None:
        check_text((self.state, self.schema, self.firmware_version))
        check_text((self.reset_cause, self.ip, *self.sensors))


class Config(_Part, frozen=True, kw_only=True):
    """What the device should do (``…/config``, QoS 1, retained): the desired state."""

    device_id: t.DeviceId
    v: t.Version = 1
    rev: t.U32 | None = None
    sampling_rate_ms: t.SamplingMs | None = None
    publish_rate_ms: t.PublishMs | None = None
    buffer_size: t.BufferSize | None = None
    wifi_ssid: t.Text | None = None
    mqtt_broker: t.Text | None = None
    zones: dict[t.Text, t.Text] | None = None

    def __post_init__(self) -> None:
        check_text((self.wifi_ssid, self.mqtt_broker))
        check_text((*(self.zones or {}), *(self.zones or {}).values()))


class Command(_Part, frozen=True, kw_only=True):
    """An order (``…/command``, QoS 1, never retained), refused after `expires_at`."""

    device_id: t.DeviceId
    id: t.Text
    action: t.Text
    v: t.Version = 1
    args: dict[t.Text, t.Text | int | float | bool] | None = None
    expires_at: t.Timestamp | None = None

    def __post_init__(self) -> None:
        check_text((self.id, self.action))


Message = Telemetry | Status | Config | Command


def check_text(texts: Iterable[str | None]) -> None:
    """Raise ValueError("charset") for what line protocol or a terminal cannot carry."""
    for text in texts:
        if text and not (text.isascii() and text.isprintable()):
            raise ValueError("charset")


def _has_value(part: object) -> bool:
    if isinstance(part, _Part):
        return any(_has_value(getattr(part, name)) for name in part.__struct_fields__)
    if isinstance(part, list):
        return any(map(_has_value, part))
    return part is not None
