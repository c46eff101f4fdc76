"""A device as Home Assistant discovers it, by its birth and by what it measured.

The form is that of MQTT device discovery, https://www.home-assistant.io/integrations/mqtt
(of release 2024.11 and later).
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from egiz_schema.address import Topic
from egiz_schema.delivery import DELIVERY
from egiz_schema.documents.fields import Field, fields
from egiz_schema.messages import Status, Telemetry

Object = dict[str, Any]
Path = tuple[str | int, ...]  # ("thermal", "temperature_zones", 0)

# UCUM to Home Assistant's spelling; what is not here is spelled alike.
_UNITS = {"Cel": "°C", "W.h": "Wh", "By": "B", "dB[mW]": "dBm", "1": None}

_DEVICE_CLASSES = {
    "V": "voltage",
    "A": "current",
    "W": "power",
    "W.h": "energy",
    "Hz": "frequency",
    "Cel": "temperature",
    "dB[mW]": "signal_strength",
    "s": "duration",
    "By": "data_size",
}


# What a meter of one phase measures, and what all meters together do.
_OF_PHASE = ("voltage", "current", "active_power", "energy_wh")
_OF_METERS = {"power_factor": 0, "frequency": 0}


def discovery(
    topic: Topic, birth: Status, telemetry: Telemetry | None = None
) -> tuple[str, dict[str, Any]]:
    """Describe a device to Home Assistant's MQTT device discovery.

    Args:
        topic: any topic of the device.
        birth: its status, which names the firmware and the sensors: ``pzem_a`` measures
            phase a, and what has an address, as ``ds18b20:28ff…``, is a zone.
        telemetry: a message of it, which is more exact: each number there becomes
            a sensor, and a zone that could not be read does, too.

    Returns:
        The topic to publish to, retained, and the payload.
    """
    sample = _expected(birth) if telemetry is None else msgspec.to_builtins(telemetry)
    # Neither part has two hyphens in a row, so no two devices share a name.
    name = f"{topic.facility}--{topic.device_id}"
    payload = {
        "device": _device(name, topic, birth),
        "origin": {"name": "egiz"},
        "availability": [_availability(topic)],
        "state_topic": str(Topic(topic.facility, topic.device_id, "telemetry")),
        "components": dict(_components(name, sample)),
    }
    return f"homeassistant/device/{name}/config", payload


def _device(name: str, topic: Topic, birth: Status) -> Object:
    device: Object = {
        "identifiers": [name],
        "name": topic.device_id,
        "model": topic.device_type,
    }
    if birth.firmware_version is not None:
        device["sw_version"] = birth.firmware_version
    return device


def _availability(topic: Topic) -> Object:
    return {
        "topic": str(Topic(topic.facility, topic.device_id, "status")),
        "value_template": "{{ value_json.state }}",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _expected(birth: Status) -> Object:
    """Telemetry as the sensors of a birth promise it; of zones, how many there are."""
    phases = [name[-1] for name in birth.sensors if re.fullmatch("pzem_[abc]", name)]
    meters = {name: dict.fromkeys(phases, 0) for name in _OF_PHASE} | _OF_METERS
    zones = [None for name in birth.sensors if ":" in name]
    return {
        "electrical": meters if phases else {},
        "thermal": {"temperature_zones": zones},
        "status": {"wifi_rssi": 0, "uptime_seconds": 0},
    }


def _components(device: str, sample: Object) -> Iterator[tuple[str, Object]]:
    for field in fields("telemetry"):
        is_number = field.type in {"number", "integer"}
        # Numbers of the message itself say when and which, not what was measured.
        if is_number and len(field.path) > 1:
            for path in _present(sample, field.path):
                yield _joined(path, "_"), _sensor(device, field, path)


def _present(sample: Object, path: tuple[str, ...]) -> Iterator[Path]:
    """Where `sample` has the field: once, or for each item of a list, or nowhere."""
    value: Any = sample
    names = tuple(name.removesuffix("[]") for name in path)
    for name in names:
        value = value.get(name)
        if value is None:
            return
    if isinstance(value, list):
        for index in range(len(value)):
            yield (*names, index)
    else:
        yield names


def _sensor(device: str, field: Field, path: Path) -> Object:
    sensor: Object = {
        "platform": "sensor",
        "unique_id": f"{device}--{_joined(path, '_')}",
        "name": _joined(path[1:], " ").replace("_", " ").capitalize(),
        "value_template": _template(path),
        "qos": DELIVERY["telemetry"].qos,
        "state_class": "total_increasing" if field.unit == "W.h" else "measurement",
        "unit_of_measurement": _UNITS.get(field.unit, field.unit),
        "device_class": _device_class(field),
        "entity_category": "diagnostic" if path[0] == "status" else None,
    }
    return {key: value for key, value in sensor.items() if value is not None}


def _device_class(field: Field) -> str | None:
    # A ratio has no unit to be known by.
    if field.path[-1] == "power_factor":
        return "power_factor"
    return _DEVICE_CLASSES.get(field.unit)


def _template(path: Path) -> str:
    """Render the value; nothing of history, and ``None`` (unknown) if it is absent."""
    *groups, last = path
    value = "value_json"
    for group in groups:
        value = f"({value}{_accessor(group)}|default({{}}))"
    shown = f"{{{{ {value}{_accessor(last)}|default(none) }}}}"
    return f"{{% if not value_json.buffered|default(false) %}}{shown}{{% endif %}}"


def _joined(path: Path, separator: str) -> str:
    return separator.join(map(str, path))


def _accessor(step: str | int) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"
