"""A device as Home Assistant discovers it, by its birth and by what it measured.

The form is that of MQTT device discovery, https://www.home-assistant.io/integrations/mqtt
(of release 2024.11 and later).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from egiz_schema.address import Topic
from egiz_schema.delivery import DELIVERY
from egiz_schema.documents.fields import Field, fields
from egiz_schema.documents.home_assistant_units import (
    contact_class,
    sensor_class,
    spelled,
)
from egiz_schema.messages import Channel, Status, Telemetry
from egiz_schema.quantities import QUANTITIES, Quantity

Object = dict[str, Any]
Path = tuple[str | int, ...]  # ("thermal", "temperature_zones", 0)

# What the fields of telemetry measure, as Home Assistant's classes; None where it has
# none. A unit does not say it: an uptime and a duration of a process are both seconds.
CLASSES = {
    "voltage": "voltage",
    "current": "current",
    "power_factor": "power_factor",
    "frequency": "frequency",
    "active_power": "power",
    "energy_wh": "energy",
    "temperature_zones": "temperature",
    "setpoint": "temperature",
    "wifi_rssi": "signal_strength",
    "uptime_seconds": "duration",
    "free_memory_bytes": "data_size",
    "buffer_depth": None,
    "dropped": None,
    "samples": None,
    "samples_expected": None,
}
_COUNTERS = {"energy_wh", "dropped"}

# Decimals that are worth showing, by class and unit; of others, all are shown.
_DECIMALS = {
    ("current", "A"): 2,
    ("frequency", "Hz"): 2,
    ("humidity", "%"): 1,
    ("ph", None): 2,
    ("power", "W"): 0,
    ("power_factor", None): 2,
    ("temperature", "°C"): 1,
    ("voltage", "V"): 1,
}

_UNKNOWN = Quantity("", 0, 0, None)
_NUMBERS = ("values", "counters")
_GROUPS = (*_NUMBERS, "contacts")

# What a meter of one phase measures, and what all meters together do.
_OF_PHASE = ("voltage", "current", "active_power", "energy_wh")
_OF_METERS = {"power_factor": 0, "frequency": 0}


def discovery(
    topic: Topic,
    birth: Status,
    telemetry: Telemetry | None = None,
    expire_after_s: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """Describe a device to Home Assistant's MQTT device discovery.

    Args:
        topic: any topic of the device.
        birth: its status, which names the firmware, the channels and the sensors:
            ``pzem_a`` measures phase a, and what has an address, as ``ds18b20:28ff…``,
            is a zone.
        telemetry: a message of it, which is more exact: each number there becomes
            a sensor, and a zone that could not be read does, too; each contact becomes
            a binary sensor.
        expire_after_s: after how many seconds without telemetry its values become
            unavailable, though the device is online; None is never. Some intervals of
            publishing are a good choice.

    Returns:
        The topic to publish to, retained, and the payload.
    """
    sample = _expected(birth) if telemetry is None else msgspec.to_builtins(telemetry)
    # Neither part has two hyphens in a row, so no two devices share a name.
    name = f"{topic.facility}--{topic.device_id}"
    components = {**_fields(sample), **_channels(birth.channels or {}, sample)}
    common = {"qos": DELIVERY["telemetry"].qos, "expire_after": expire_after_s}
    payload = {
        "device": _device(name, topic, birth),
        "origin": {"name": "egiz"},
        "availability": [_availability(topic)],
        "state_topic": str(Topic(topic.facility, topic.device_id, "telemetry")),
        "components": {
            key: _without_none({"unique_id": f"{name}--{key}", **component, **common})
            for key, component in components.items()
        },
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
        # Home Assistant knows these two only; a device that sleeps is no less there.
        "value_template": "{{ 'offline' if value_json.state == 'offline'"
        " else 'online' }}",
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


def _fields(sample: Object) -> Object:
    """The numbers that have a field of their own."""
    return {
        _joined(path, "_"): _sensor(field, path)
        for field in fields("telemetry")
        for path in _present(sample, field.path)
        # Numbers of the message itself say when and which, not what was measured.
        if field.type in {"number", "integer"} and len(path) > 1
    }


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


def _sensor(field: Field, path: Path) -> Object:
    name = str(path[1])
    return {
        **_number(CLASSES[name], field.unit, counts=name in _COUNTERS),
        "name": _title(_joined(path[1:], " ")),
        "value_template": _template(path),
        "entity_category": "diagnostic" if path[0] == "status" else None,
    }


def _channels(declared: Mapping[str, Channel], sample: Object) -> Object:
    """What has a name of its own: there, or declared by the birth."""
    there = [(group, name) for group in _GROUPS for name in sample.get(group) or ()]
    found = {f"{g}_{n}": _channel((g,), n, declared.get(n)) for g, n in there}
    seen = {name for _, name in there}
    for name in (name for name in declared if name not in seen):
        if groups := _usual_groups(declared[name]):
            key = f"{groups[0]}_{name}"
            found[key] = _channel(groups, name, declared[name])
    return found


def _usual_groups(channel: Channel) -> tuple[str, ...]:
    """Where telemetry probably has a channel; nowhere if it may be a contact or not."""
    known = QUANTITIES.get(channel.quantity)
    group = known.group if known else "values" if channel.unit else ""
    if group in _NUMBERS:
        # A weight may be delivered, which counts; and a meter may count in decimals.
        return (group, *(other for other in _NUMBERS if other != group))
    return (group,) if group else ()


def _channel(groups: tuple[str, ...], name: str, channel: Channel | None) -> Object:
    known = (channel and QUANTITIES.get(channel.quantity)) or _UNKNOWN
    about = {
        "name": _title(name),
        "value_template": _template(*((group, name) for group in groups)),
    }
    if groups[0] == "contacts":
        # As the template renders JSON's true and false.
        return {
            **about,
            "platform": "binary_sensor",
            "payload_on": "True",
            "payload_off": "False",
            "device_class": contact_class(known.device_class),
        }
    unit = (channel and channel.unit) or known.unit
    counts = "counters" in {groups[0], known.group}
    return {**about, **_number(known.device_class, unit, counts=counts)}


def _number(name: str | None, ucum: str | None, *, counts: bool) -> Object:
    unit = spelled(ucum)
    device_class = sensor_class(name, unit, counts=counts)
    return {
        "platform": "sensor",
        "state_class": "total_increasing" if counts else "measurement",
        "unit_of_measurement": unit,
        "device_class": device_class,
        "suggested_display_precision": _DECIMALS.get((device_class or "", unit)),
    }


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _without_none(component: Object) -> Object:
    return {key: value for key, value in component.items() if value is not None}


def _template(*paths: Path) -> str:
    """Render the first value that is there; nothing of history.

    ``None`` is shown, which is unknown, if there is none.
    """
    *before, shown = map(_read, paths)
    for value in reversed(before):
        shown = f"{value} if {value} is not none else {shown}"
    return f"{{% if not value_json.get('buffered') %}}{{{{ {shown} }}}}{{% endif %}}"


def _read(path: Path) -> str:
    """By `get`, since Jinja finds a dict's method where there is no such member."""
    shown = f"value_json.get({path[0]!r})"
    for step in path[1:]:
        if isinstance(step, str):
            shown = f"({shown} or {{}}).get({step!r})"
        else:
            shown = f"({shown} or [])[{step}]|default(none)"
    return shown


def _joined(path: Path, separator: str) -> str:
    return separator.join(map(str, path))
