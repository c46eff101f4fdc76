"""What Home Assistant discovers of a device, and what it shows."""

import jinja2
import msgspec
from egiz_schema import (
    Health,
    Status,
    Telemetry,
    Topic,
    influx,
)
from egiz_schema.documents import discovery
from egiz_schema.documents.examples import BIRTH, TELEMETRY, WILL
from jinja2.sandbox import ImmutableSandboxedEnvironment
from rig.documents import FULL


def topic(kind):
    return Topic("factory", "oven-001", kind)


def discovered(payload, birth=BIRTH):
    return discovery(
        topic("telemetry"),
        msgspec.convert(birth, Status),
        msgspec.convert(payload, Telemetry),
    )


def test_home_assistant_discovers_the_device():
    address, payload = discovered(TELEMETRY)
    assert address == "homeassistant/device/factory--oven-001/config"
    components = payload.pop("components")
    assert payload == {
        "device": {
            "identifiers": ["factory--oven-001"],
            "name": "oven-001",
            "model": "oven",
            "sw_version": "1.1.0",
        },
        "origin": {"name": "egiz"},
        "availability": [
            {
                "topic": "sensors/factory/oven-001/status",
                "value_template": "{{ value_json.state }}",
                "payload_available": "online",
                "payload_not_available": "offline",
            }
        ],
        "state_topic": "sensors/factory/oven-001/telemetry",
    }
    assert list(components) == [
        *(f"electrical_{q}_{p}" for q in ("voltage", "current") for p in "abc"),
        "electrical_power_factor",
        *(f"thermal_temperature_zones_{zone}" for zone in range(3)),
        "thermal_setpoint",
        "status_wifi_rssi",
        "status_uptime_seconds",
    ]
    assert components["electrical_voltage_a"] == {
        "platform": "sensor",
        "unique_id": "factory--oven-001--electrical_voltage_a",
        "name": "Voltage a",
        "value_template": "{% if not value_json.buffered|default(false) %}"
        "{{ ((value_json.electrical|default({})).voltage|default({})).a"
        "|default(none) }}{% endif %}",
        "qos": 1,
        "state_class": "measurement",
        "unit_of_measurement": "V",
        "device_class": "voltage",
    }
    for component in components.values():
        del component["value_template"]  # what they give is tested by rendering them
    assert components["thermal_temperature_zones_2"] == {
        "platform": "sensor",
        "unique_id": "factory--oven-001--thermal_temperature_zones_2",
        "name": "Temperature zones 2",
        "qos": 1,
        "state_class": "measurement",
        "unit_of_measurement": "°C",
        "device_class": "temperature",
    }
    assert components["status_wifi_rssi"] == {
        "platform": "sensor",
        "unique_id": "factory--oven-001--status_wifi_rssi",
        "name": "Wifi rssi",
        "qos": 1,
        "state_class": "measurement",
        "unit_of_measurement": "dBm",
        "device_class": "signal_strength",
        "entity_category": "diagnostic",
    }


def test_home_assistant_knows_each_quantity():
    _, payload = discovered(FULL["telemetry"])
    found = {
        name: (
            component.get("unit_of_measurement"),
            component.get("device_class"),
            component["state_class"],
        )
        for name, component in payload["components"].items()
    }
    zones = [f"thermal_temperature_zones_{zone}" for zone in range(3)]
    phases = {
        "voltage": ("V", "voltage", "measurement"),
        "current": ("A", "current", "measurement"),
        "active_power": ("W", "power", "measurement"),
        "energy_wh": ("Wh", "energy", "total_increasing"),
    }
    assert found == {
        **{f"electrical_{q}_{p}": about for q, about in phases.items() for p in "abc"},
        "electrical_power_factor": (None, "power_factor", "measurement"),
        "electrical_frequency": ("Hz", "frequency", "measurement"),
        **dict.fromkeys(
            [*zones, "thermal_setpoint"], ("°C", "temperature", "measurement")
        ),
        "status_wifi_rssi": ("dBm", "signal_strength", "measurement"),
        "status_uptime_seconds": ("s", "duration", "measurement"),
        "status_free_memory_bytes": ("B", "data_size", "measurement"),
        "status_buffer_depth": (None, None, "measurement"),
        "status_dropped": (None, None, "measurement"),
    }


def test_home_assistant_discovers_only_what_is_there():
    payload = {
        "device_id": "oven-001",
        "timestamp": 1706352600,
        "boot": 3,
        "electrical": {"voltage": {"b": 0.0}},
        "thermal": {"temperature_zones": [None, 20.0]},
    }
    _, found = discovered(payload, birth=WILL)
    assert list(found["components"]) == [
        "electrical_voltage_b",
        "thermal_temperature_zones_0",  # there, but not read this time
        "thermal_temperature_zones_1",
    ]
    assert "sw_version" not in found["device"]


def test_home_assistant_shows_what_was_measured_and_nothing_else():
    """Rendered as Home Assistant does; `None` is "unknown", nothing is "no change"."""
    sandbox = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    _, found = discovered(FULL["telemetry"])

    def shown(payload):
        return {
            name: sandbox.from_string(component["value_template"]).render(
                value_json=payload
            )
            for name, component in found["components"].items()
        }

    live = {**FULL["telemetry"], "buffered": False}
    fields = influx.to_point(
        topic("telemetry"), msgspec.convert(live, Telemetry), received_ms=0
    ).fields
    assert shown(live) == {name: str(fields[name]) for name in found["components"]}
    assert len(found["components"]) > 20
    partial = {
        "electrical": {"voltage": {"a": 0.0}, "current": None},
        "thermal": {"temperature_zones": [None]},
    }
    unknown = dict.fromkeys(found["components"], "None")
    assert shown(partial) == {**unknown, "electrical_voltage_a": "0.0"}
    assert set(shown({**partial, "buffered": True}).values()) == {""}


def test_a_birth_says_which_sensors_to_expect():
    sensors = ["pzem_b", "ds18b20:28ff", "max31855:cs5", "input_run"]
    birth = Status(device_id="oven-001", state="online", sensors=sensors)
    _, found = discovery(topic("status"), birth)
    assert list(found["components"]) == [
        *(f"electrical_{q}_b" for q in ("voltage", "current")),
        "electrical_power_factor",
        "electrical_frequency",
        *(f"electrical_{q}_b" for q in ("active_power", "energy_wh")),
        "thermal_temperature_zones_0",
        "thermal_temperature_zones_1",
        "status_wifi_rssi",
        "status_uptime_seconds",
    ]


def test_the_components_have_one_identity_each_across_devices():
    ids = set()
    for facility, device in (("a-b", "c-1"), ("a", "b-c-1"), ("a_b", "c-1")):
        reading = Telemetry(
            device_id=device, timestamp=1706352600, status=Health(wifi_rssi=-60)
        )
        birth = Status(device_id=device, state="online")
        address, found = discovery(Topic(facility, device, "status"), birth, reading)
        ids |= {address, found["components"]["status_wifi_rssi"]["unique_id"]}
    assert len(ids) == 6
