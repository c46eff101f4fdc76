"""A device as Home Assistant discovers it, by what it was seen to measure."""

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


def discovery(
    topic: Topic, birth: Status, telemetry: Telemetry
) -> tuple[str, dict[str, Any]]:
    """Describe a device to Home Assistant's MQTT device discovery.

    Args:
        topic: any topic of the device.
        birth: its status, which names the firmware.
        telemetry: a message of it: each number there becomes a sensor, and a zone that
            could not be read does, too.

    Returns:
        The topic to publish to, retained, and the payload.
    """
    # Neither part has two hyphens in a row, so no two devices share a name.
    name = f"{topic.facility}--{topic.device_id}"
    payload = {
        "device": _device(name, topic, birth),
        "origin": {"name": "egiz"},
        "availability": [_availability(topic)],
        "state_topic": str(Topic(topic.facility, topic.device_id, "telemetry")),
        "qos": DELIVERY["telemetry"].qos,
        "components": dict(_components(name, telemetry)),
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


def _components(device: str, telemetry: Telemetry) -> Iterator[tuple[str, Object]]:
    sample = msgspec.to_builtins(telemetry)
    for field in fields("telemetry"):
        is_number = field.type in {"number", "integer"}
        # Numbers of the message itself tell when and which, not what was measured.
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
        "value_template": f"{{{{ value_json{_accessor(path)} }}}}",
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


def _joined(path: Path, separator: str) -> str:
    return separator.join(map(str, path))


def _accessor(path: Path) -> str:
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in path
    )
