"""What Home Assistant discovers of a device, and what it shows."""

import jinja2
import msgspec
import pytest
from egiz_schema import (
    Health,
    Status,
    Telemetry,
    Topic,
    influx,
)
from egiz_schema.documents import discovery, home_assistant
from egiz_schema.documents.examples import BIRTH, TELEMETRY, WILL
from egiz_schema.documents.fields import fields
from egiz_schema.quantities import QUANTITIES
from jinja2.sandbox import ImmutableSandboxedEnvironment
from rig.documents import FULL, GIVEN


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
                "value_template": "{{ 'offline' if value_json.state == 'offline'"
                " else 'online' }}",
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
        "value_template": "{% if not value_json.get('buffered') %}"
        "{{ ((value_json.get('electrical') or {}).get('voltage') or {}).get('a') }}"
        "{% endif %}",
        "qos": 1,
        "state_class": "measurement",
        "unit_of_measurement": "V",
        "device_class": "voltage",
        "suggested_display_precision": 1,
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
        "suggested_display_precision": 1,
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
    _, payload = discovered(GIVEN["telemetry"])
    found = {
        name: (
            component.get("unit_of_measurement"),
            component.get("device_class"),
            component.get("state_class"),
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
        "status_dropped": (None, None, "total_increasing"),
        "status_samples": (None, None, "measurement"),
        "status_samples_expected": (None, None, "measurement"),
        # `name` is a channel that the birth here does not declare.
        "values_name": (None, None, "measurement"),
        "counters_name": (None, None, "total_increasing"),
        "contacts_name": (None, None, None),
    }


def test_each_number_of_telemetry_has_a_class_or_says_that_it_has_none():
    numbers = {
        field.path[1].removesuffix("[]")
        for field in fields("telemetry")
        if field.type in {"number", "integer"} and len(field.path) > 1
    }
    missing = numbers - set(home_assistant.CLASSES) - {"*"}
    assert not missing, f"add {missing} to CLASSES of documents/home_assistant.py"


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


def rendered(found, payload):
    """What each component shows, as Home Assistant renders it."""
    sandbox = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    return {
        name: sandbox.from_string(component["value_template"]).render(
            value_json=payload
        )
        for name, component in found["components"].items()
    }


def test_home_assistant_shows_what_was_measured_and_nothing_else():
    """`None` is "unknown" to Home Assistant, nothing is "no change"."""
    _, found = discovered(FULL["telemetry"])
    live = {**FULL["telemetry"], "buffered": False}
    stored = influx.to_point(
        topic("telemetry"), msgspec.convert(live, Telemetry), received_ms=0
    ).fields
    assert rendered(found, live) == {
        name: str(stored[name]) for name in found["components"]
    }
    assert len(found["components"]) > 20
    partial = {
        "electrical": {"voltage": {"a": 0.0}, "current": None},
        "thermal": {"temperature_zones": [None]},
    }
    unknown = dict.fromkeys(found["components"], "None")
    assert rendered(found, partial) == {**unknown, "electrical_voltage_a": "0.0"}
    assert set(rendered(found, {**partial, "buffered": True}).values()) == {""}


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


def channels(declared, telemetry=None, **options):
    """The components of a device that has only these channels."""
    birth = {"device_id": "oven-001", "state": "online", "channels": declared}
    _, found = discovery(
        topic("status"),
        msgspec.convert(birth, Status),
        telemetry and msgspec.convert({**IDENTITY, **telemetry}, Telemetry),
        **options,
    )
    return {
        name: component
        for name, component in found["components"].items()
        if name.split("_")[0] in {"values", "counters", "contacts"}
    }


IDENTITY = {"device_id": "oven-001", "timestamp": 1706352600}


def test_a_declared_channel_is_a_sensor_with_the_class_of_its_quantity():
    found = channels(
        {
            "humidity_room": {"quantity": "humidity"},
            "pieces": {"quantity": "pieces"},
            "door_front": {"quantity": "door"},
        }
    )
    for component in found.values():
        del component["value_template"]
    common = {"qos": 1}
    device = "factory--oven-001--"
    assert found == {
        "values_humidity_room": {
            **common,
            "platform": "sensor",
            "unique_id": device + "values_humidity_room",
            "name": "Humidity room",
            "state_class": "measurement",
            "unit_of_measurement": "%",
            "device_class": "humidity",
            "suggested_display_precision": 1,
        },
        "counters_pieces": {
            **common,
            "platform": "sensor",
            "unique_id": device + "counters_pieces",
            "name": "Pieces",
            "state_class": "total_increasing",
            "unit_of_measurement": "piece",
        },
        "contacts_door_front": {
            **common,
            "platform": "binary_sensor",
            "unique_id": device + "contacts_door_front",
            "name": "Door front",
            "payload_on": "True",
            "payload_off": "False",
            "device_class": "door",
        },
    }


# Quantity, unit; and what Home Assistant gets: unit, class, state class.
@pytest.mark.parametrize(
    ("quantity", "unit", "expected"),
    [
        ("temperature", None, ("°C", "temperature", "measurement")),
        ("temperature", "[degF]", ("°F", "temperature", "measurement")),
        ("temperature", "K", ("K", "temperature", "measurement")),
        ("temperature", "mV", ("mV", None, "measurement")),
        ("humidity", "g/m3", ("g/m³", None, "measurement")),
        ("weight", "t", ("t", None, "measurement")),
        ("weight", "g", ("g", "weight", "measurement")),
        ("ph", None, (None, "ph", "measurement")),
        ("ph", "pH", ("pH", None, "measurement")),
        ("particles", None, ("µg/m³", "pm25", "measurement")),
        ("conductivity", "mS/cm", ("mS/cm", "conductivity", "measurement")),
        ("carbon_dioxide", None, ("ppm", "carbon_dioxide", "measurement")),
        ("air_flow", None, ("m³/h", "volume_flow_rate", "measurement")),
        ("vibration", None, ("mm/s", "speed", "measurement")),
        ("vibration", "m/s2", ("m/s2", None, "measurement")),
        ("rotational_speed", None, ("1/min", None, "measurement")),
        ("duration", None, ("s", "duration", "measurement")),
        ("operating_time", "h", ("h", "duration", "total_increasing")),
        ("energy", "kW.h", ("kWh", "energy", "total_increasing")),
        ("water", "m3", ("m³", "water", "total_increasing")),
        ("cycles", None, ("cycle", None, "total_increasing")),
        ("cycles", "{opening}", ("opening", None, "total_increasing")),
        ("cycles", "{a}/{b}", ("{a}/{b}", None, "total_increasing")),
        ("setpoint", "Cel", ("°C", None, "measurement")),
        ("brix", "%{brix}", ("%{brix}", None, "measurement")),
        ("stickiness", "N", ("N", None, "measurement")),
    ],
)
def test_a_class_is_given_with_a_unit_that_home_assistant_accepts_for_it(
    quantity, unit, expected
):
    declared = {"quantity": quantity, "unit": unit}
    (component,) = channels({"it": declared}).values()
    assert expected == (
        component.get("unit_of_measurement"),
        component.get("device_class"),
        component["state_class"],
    )


# As https://developers.home-assistant.io/docs/core/entity/sensor lists them.
MEASURES_ONLY = {
    "carbon_dioxide": {"ppm"},
    "conductivity": {"S/cm", "mS/cm", "µS/cm"},
    "current": {"A", "mA"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "humidity": {"%"},
    "illuminance": {"lx"},
    "moisture": {"%"},
    "ph": {None},
    "pm25": {"µg/m³"},
    "power": {"mW", "W", "kW", "MW", "GW", "TW"},
    "pressure": {"Pa", "hPa", "kPa", "bar", "mbar", "cbar", "mmHg", "inHg", "psi"},
    "sound_pressure": {"dB", "dBA"},
    "speed": {"m/s", "km/h", "mm/s", "in/s", "ft/s", "mph", "kn"},
    "temperature": {"°C", "°F", "K"},
    "voltage": {"V", "mV", "µV", "kV", "MV"},
    "volume_flow_rate": {"m³/h", "m³/s", "L/h", "L/min", "L/s", "mL/s"},
    "volume_storage": {"L", "mL", "m³"},
}
COUNTS_ONLY = {
    "energy": {"J", "kJ", "MJ", "GJ", "Wh", "kWh", "MWh", "GWh"},
    "gas": {"m³", "ft³", "CCF"},
    "water": {"L", "m³", "ft³", "CCF", "gal"},
}
BOTH = {
    "distance": {"mm", "cm", "m", "km"},
    "duration": {"s", "min", "h", "d", "ms"},
    "weight": {"µg", "mg", "g", "kg", "oz", "lb", "st"},
}
BINARY = {
    *("door", "light", "lock", "moisture", "motion", "occupancy", "problem"),
    *("running", "safety", "smoke", "window"),
}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_each_quantity_has_the_class_that_it_names_or_says_none(quantity):
    known = QUANTITIES[quantity]
    (component,) = channels({"it": {"quantity": quantity}}).values()
    assert component.get("device_class") == known.device_class
    if component["platform"] == "binary_sensor":
        assert known.device_class in BINARY
    elif known.device_class:
        counts = component["state_class"] == "total_increasing"
        accepted = BOTH | (COUNTS_ONLY if counts else MEASURES_ONLY)
        unit = component.get("unit_of_measurement")
        assert unit in accepted[known.device_class]


@pytest.mark.parametrize(
    ("quantity", "telemetry", "expected"),
    [
        # A count of what is usually measured, and a measure of what is usually counted.
        ("power", {"counters": {"it": 5}}, ("counters_it", "W", None)),
        ("volume", {"counters": {"it": 5}}, ("counters_it", "L", None)),
        ("weight", {"counters": {"it": 5}}, ("counters_it", "kg", "weight")),
        ("energy", {"values": {"it": 5.5}}, ("values_it", "Wh", "energy")),
        ("door", {"values": {"it": 1.5}}, ("values_it", None, None)),
        ("moisture", {"contacts": {"it": True}}, ("contacts_it", None, "moisture")),
        ("humidity", {"contacts": {"it": True}}, ("contacts_it", None, None)),
        ("stickiness", {"contacts": {"it": None}}, ("contacts_it", None, None)),
    ],
)
def test_telemetry_decides_whether_a_channel_measures_counts_or_switches(
    quantity, telemetry, expected
):
    ((name, component),) = channels({"it": {"quantity": quantity}}, telemetry).items()
    unit, class_ = (component.get(k) for k in ("unit_of_measurement", "device_class"))
    assert (name, unit, class_) == expected


@pytest.mark.parametrize("quantity", ["weight", "energy"])
def test_a_number_is_shown_from_wherever_telemetry_has_it(quantity):
    found = {"components": channels({"it": {"quantity": quantity}})}
    (name,) = found["components"]
    for group, value in (("values", 0.0), ("values", 2.5), ("counters", 0)):
        assert rendered(found, {group: {"it": value}}) == {name: str(value)}
    assert rendered(found, {"values": {"it": None}}) == {name: "None"}
    assert rendered(found, {"values": None}) == {name: "None"}


def test_a_channel_that_says_neither_quantity_nor_unit_waits_for_telemetry():
    unknown = {"it": {"quantity": "stickiness"}}
    assert channels(unknown) == {}
    assert list(channels(unknown, {"counters": {"it": 1}})) == ["counters_it"]


def test_a_channel_is_shown_whatever_its_name_is_and_nothing_of_history():
    names = ["values", "items", "get", "x1", "none", "default"]
    telemetry = {
        "values": dict.fromkeys(names, 1.5),
        "counters": dict.fromkeys(names, 7),
        "contacts": dict.fromkeys(names, False),
    }
    found = {"components": channels({}, telemetry)}
    assert rendered(found, telemetry) == {
        f"{group}_{name}": text
        for group, text in (("values", "1.5"), ("counters", "7"), ("contacts", "False"))
        for name in names
    }
    assert set(rendered(found, {"contacts": {"get": None}}).values()) == {"None"}
    assert set(rendered(found, {**telemetry, "buffered": True}).values()) == {""}


def test_values_expire_if_the_caller_says_after_how_long():
    declared = {"door_front": {"quantity": "door"}, "it": {"quantity": "weight"}}
    for component in channels(declared, expire_after_s=90).values():
        assert component["expire_after"] == 90
    for component in channels(declared).values():
        assert "expire_after" not in component
