"""The four messages of the contract, as msgspec structs.

A field that is ``None`` was not measured, and is not on the wire. Decoding validates;
building one in code does not, so `egiz_schema.encode` checks before anything is sent.
The types, in `egiz_schema.types`, say unit, range and meaning.
"""

from typing import Annotated

import msgspec

from egiz_schema import types as t


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
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


class Electrical(_Part, frozen=True, kw_only=True, gc=False):
    """What the power meters read; frequency in Hz."""

    voltage: VoltagePhases | None = None
    current: CurrentPhases | None = None
    power_factor: t.PowerFactor | None = None
    frequency: t.Hertz | None = None
    active_power: PowerPhases | None = None
    energy_wh: EnergyPhases | None = None


class Thermal(_Part, frozen=True, kw_only=True, gc=False):
    """Temperatures in °C, zone by zone; ``None`` is a zone that could not be read."""

    temperature_zones: t.Zones | None = None
    setpoint: t.Celsius | None = None


class Health(_Part, frozen=True, kw_only=True, gc=False):
    """How machine and device are: `status` of telemetry, `health` of status.

    `operational_state` is running, stopped, fault, or another: an open set. `samples`
    is there only if a reading is the mean of fewer than `samples_expected`.
    """

    operational_state: t.OperationalState | None = None
    wifi_rssi: t.Decibels | None = None
    uptime_seconds: t.Uptime | None = None
    free_memory_bytes: t.FreeMemory | None = None
    buffer_depth: t.Depth | None = None
    dropped: t.Dropped | None = None
    time_synced: bool | None = None
    fault_codes: t.Codes = []
    samples: t.Samples | None = None
    samples_expected: t.SamplesExpected | None = None


class Telemetry(_Part, frozen=True, kw_only=True, gc=False):
    """One reading of one device (``…/telemetry``, QoS 1, retained)."""

    device_id: t.DeviceId
    timestamp: t.DeviceTime
    v: t.Version = 1
    ms: t.Milliseconds = 0
    seq: t.Sequence | None = None
    boot: t.Boot | None = None
    buffered: bool = False
    electrical: Electrical | None = None
    thermal: Thermal | None = None
    values: t.Values | None = None
    counters: t.Counters | None = None
    contacts: t.Contacts | None = None
    status: Health | None = None


class RefusedConfig(_Part, frozen=True, kw_only=True, gc=False):
    """A configuration that the device does not run, and why."""

    rev: t.Revision | None = None
    crc: t.Checksum | None = None
    error: t.Text | None = None


class AppliedConfig(_Part, frozen=True, kw_only=True, gc=False):
    """Which configuration the device runs, and which newer one it refused.

    Two configurations with the same `rev` differ in `crc`.
    """

    rev: t.Revision
    applied: bool
    error: t.Text | None = None
    crc: t.Checksum | None = None
    refused: RefusedConfig | None = None


class CommandResult(_Part, frozen=True, kw_only=True, gc=False):
    """How the last command ended."""

    id: t.Name
    result: t.Name
    error: t.Text | None = None


class Ota(_Part, frozen=True, kw_only=True, gc=False):
    """How far an update is."""

    state: t.OtaState
    version: t.Text | None = None
    progress: t.Percent | None = None
    error: t.Text | None = None


class Channel(_Part, frozen=True, kw_only=True, gc=False):
    """What a value, counter or contact measures.

    The unit is a UCUM code; without one it is the usual unit of the quantity.
    """

    quantity: t.Quantity
    unit: t.Text | None = None


class Status(_Part, frozen=True, kw_only=True, gc=False):
    """Birth, health and last will of a device (``…/status``, QoS 1, retained).

    The last will is composed at CONNECT, so it carries no timestamp.
    """

    device_id: t.DeviceId
    state: t.DeviceState
    timestamp: t.DeviceTime | None = None
    v: t.Version = 1
    ms: t.Milliseconds = 0
    boot: t.Boot | None = None
    schema: t.Text | None = None
    firmware_version: t.Text | None = None
    reset_cause: t.Text | None = None
    ip: t.Text | None = None
    config: AppliedConfig | None = None
    last_command: CommandResult | None = None
    health: Health | None = None
    sensors: t.Sensors = []
    ota: Ota | None = None
    board: t.Text | None = None
    can: t.Abilities = []
    channels: Annotated[dict[t.ChannelName, Channel], *t.ChannelCount] | None = None


class Alert(_Part, frozen=True, kw_only=True, gc=False):
    """Thresholds of one field: outside of them is worth an alarm."""

    min: t.Threshold | None = None
    max: t.Threshold | None = None


class Firmware(_Part, frozen=True, kw_only=True, gc=False):
    """The release that the device should run (see `Ota`, which says how far it is).

    `percent` of the devices that get these very words obey, or all; `window` is
    ``22:00-04:00``, UTC, and needs a clock that is set.
    """

    version: t.Name
    url: t.Url
    percent: t.Percent | None = None
    window: t.Text | None = None
    keys: t.KeySet | None = None


class Config(_Part, frozen=True, kw_only=True, gc=False):
    """What the device should do (``…/config``, QoS 1, retained): the desired state."""

    device_id: t.DeviceId
    v: t.Version = 1
    rev: t.Revision | None = None
    sampling_rate_ms: t.SamplingMs | None = None
    publish_rate_ms: t.PublishMs | None = None
    buffer_size: t.BufferSize | None = None
    wifi_ssid: t.Ssid | None = None
    mqtt_broker: t.Text | None = None
    zones: t.ZoneNames | None = None
    alerts: Annotated[dict[t.Name, Alert], *t.AlertCount] | None = None
    report_rate_ms: t.ReportMs | None = None
    firmware: Firmware | None = None


class Command(_Part, frozen=True, kw_only=True, gc=False):
    """An order (``…/command``, QoS 1, never retained), refused after `expires_at`."""

    device_id: t.DeviceId
    id: t.Name
    action: t.Action
    v: t.Version = 1
    args: t.Arguments | None = None
    expires_at: t.Timestamp | None = None


Message = Telemetry | Status | Config | Command
