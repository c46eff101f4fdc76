"""The generated documents say what the code does, and other tools understand them."""

import csv
import io
import json
import re
import subprocess
from typing import get_args

import jinja2
import msgspec
import pytest
from egiz_schema import (
    Command,
    Config,
    EgizError,
    Health,
    Kind,
    Message,
    Status,
    Telemetry,
    Topic,
    decode,
    influx,
    vectors,
)
from egiz_schema.codec import TYPES
from egiz_schema.documents import DELIVERY, DIRECTORY, discovery, render, write
from egiz_schema.documents.examples import BIRTH, CONFIG, EXAMPLES, TELEMETRY, WILL
from egiz_schema.documents.fields import fields
from egiz_schema.documents.json_schema import components, json_schema
from egiz_schema.documents.meanings import MEANINGS
from egiz_schema.errors import reasons
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator
from rig.process import require

# Exact, so that a release of theirs cannot break a commit of ours.
NPM_PACKAGES = ("@asyncapi/parser@3.6.3", "typescript@7.0.2")

KINDS = get_args(Kind)
FULL_HEALTH = {
    "operational_state": "running",
    "wifi_rssi": -60,
    "uptime_seconds": 10,
    "free_memory_bytes": 1000,
    "buffer_depth": 1,
    "dropped": 2,
    "time_synced": False,
    "fault_codes": ["a", "b"],
}
FULL = {
    "telemetry": {
        **TELEMETRY,
        "v": 1,
        "ms": 5,
        "seq": 7,
        "boot": 3,
        "buffered": True,
        "electrical": {
            **TELEMETRY["electrical"],
            "frequency": 50.0,
            "active_power": {"a": 1.0, "b": 2.0, "c": 3.0},
            "energy_wh": {"a": 1, "b": 2, "c": 3},
        },
        "status": FULL_HEALTH,
    },
    "status": {
        **BIRTH,
        "v": 1,
        "reset_cause": "power",
        "ip": "192.168.1.7",
        "config": {"rev": 4, "applied": False, "error": "range"},
        "last_command": {"id": "1", "result": "failed", "error": "busy"},
        "health": FULL_HEALTH,
        "sensors": ["pzem_a", "ds18b20:28ff"],
        "ota": {"state": "loading", "version": "2", "progress": 3, "error": "crc"},
    },
}
OF_INFLUX = {float: "float", int: "int", bool: "bool", str: "string"}


def dictionary():
    return list(csv.DictReader(io.StringIO(render()["dictionary.csv"])))


def asyncapi():
    return json.loads(render()["asyncapi.json"])


def validator(kind):
    return Draft202012Validator(json_schema(kind))


def topic(kind):
    return Topic("factory", "oven-001", kind)


def test_the_files_are_what_the_code_renders():
    on_disk = {path.name: path.read_text("utf-8") for path in DIRECTORY.iterdir()}
    rendered = render()
    assert on_disk.keys() == rendered.keys(), "run `egiz-schema generate`"
    for name, text in rendered.items():
        assert on_disk[name] == text, f"{name} is stale: run `egiz-schema generate`"


def test_write_makes_the_directory_and_tells_the_files(tmp_path):
    written = write(tmp_path / "new" / "v1")
    assert {path.name: path.read_text("utf-8") for path in written} == render()
    assert {path.parent for path in written} == {tmp_path / "new" / "v1"}


def test_every_example_is_a_message_of_the_contract():
    for kind, examples in EXAMPLES.items():
        for payload in examples.values():
            message = decode(topic(kind), json.dumps(payload).encode())
            # Nothing in it is unknown or of another type.
            assert msgspec.to_builtins(message) == payload


# JSON Schema


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_tells_what_it_is(kind):
    schema = json.loads(render()[f"{kind}.schema.json"])
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"https://openegiz.org/schema/v1/{kind}.schema.json"
    assert schema["description"]
    assert schema["properties"]["v"]["default"] == 1


def test_a_schema_keeps_unit_range_and_meaning():
    volts, null = json_schema("telemetry")["$defs"]["VoltagePhases"]["properties"]["a"][
        "anyOf"
    ]
    assert volts == {
        "type": "number",
        "description": "RMS voltage",
        "minimum": 0,
        "maximum": 1000,
        "x-unit": "V",
    }
    assert null == {"type": "null"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_are_valid_also_with_unknown_members(kind):
    for payload in EXAMPLES[kind].values():
        validator(kind).validate(payload)
        validator(kind).validate({**payload, "newer": {"thd": 1}})


@pytest.mark.parametrize(
    ("kind", "change", "path"),
    [
        ("telemetry", {"timestamp": 1577836799}, ["timestamp"]),
        ("telemetry", {"timestamp": "1706352600"}, ["timestamp"]),
        ("telemetry", {"ms": 1000}, ["ms"]),
        ("telemetry", {"v": 2}, ["v"]),
        ("telemetry", {"device_id": "Oven-001"}, ["device_id"]),
        ("telemetry", {"electrical": {"voltage": {"a": 1000.5}}}, ["electrical"]),
        ("telemetry", {"thermal": {"setpoint": -101}}, ["thermal"]),
        ("telemetry", {"thermal": {"temperature_zones": [0] * 33}}, ["thermal"]),
        ("telemetry", {"status": {"wifi_rssi": 1}}, ["status"]),
        ("status", {"state": ""}, ["state"]),
        ("status", {"ip": "é"}, ["ip"]),
        ("config", {"sampling_rate_ms": 99}, ["sampling_rate_ms"]),
        ("config", {"alerts": {"": {"min": 1}}}, ["alerts"]),
        ("command", {"args": {"zone": [1]}}, ["args"]),
    ],
)
def test_schema_and_decoder_refuse_the_same(kind, change, path):
    payload = {**next(iter(EXAMPLES[kind].values())), **change}
    faults = list(validator(kind).iter_errors(payload))
    assert [list(fault.path)[:1] for fault in faults] == [path]
    with pytest.raises(EgizError):
        decode(topic(kind), json.dumps(payload).encode())


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_requires_what_the_decoder_requires(kind):
    payload = next(iter(EXAMPLES[kind].values()))
    for name in json_schema(kind)["required"]:
        partial = {key: value for key, value in payload.items() if key != name}
        assert not validator(kind).is_valid(partial)
        with pytest.raises(EgizError):
            decode(topic(kind), json.dumps(partial).encode())


def test_docstrings_are_told_in_the_words_of_json():
    schemas = components(TYPES.values(), "{name}")
    assert schemas["Thermal"]["description"] == (
        "Temperatures in °C, zone by zone; `null` is a zone that could not be read."
    )
    assert not any("\n " in schema["description"] for schema in schemas.values())


# Data dictionary


def test_every_field_has_a_meaning_and_every_number_a_unit():
    rows = dictionary()
    assert {row["kind"] for row in rows} == set(KINDS)
    for row in rows:
        assert row["meaning"] not in {"", "Printable ASCII"}, row
        assert not row["meaning"].startswith("Printable ASCII"), row
        if row["type"] in {"number", "integer"}:
            assert row["unit"], row
            assert float(row["min"]) <= float(row["max"]), row
        if row["type"] == "string":
            assert int(row["max_length"]) <= 64, row


def test_every_meaning_is_of_a_field_there_is():
    known = {
        (name, field)
        for name, schema in components(TYPES.values(), "{name}").items()
        for field in schema["properties"]
    }
    assert set(MEANINGS) <= known


def test_a_row_of_the_dictionary():
    rows = {(row["kind"], row["path"]): row for row in dictionary()}
    assert rows["telemetry", "electrical.voltage.a"] == {
        "kind": "telemetry",
        "path": "electrical.voltage.a",
        "type": "number",
        "unit": "V",
        "min": "0",
        "max": "1000",
        "min_length": "",
        "max_length": "",
        "max_items": "",
        "known": "",
        "required": "no",
        "meaning": "RMS voltage",
        "influx_field": "electrical_voltage_a",
        "influx_type": "float",
        "since": "1.0",
    }
    zones = rows["telemetry", "thermal.temperature_zones[]"]
    assert zones["influx_field"] == "thermal_temperature_zones_N"
    assert (zones["unit"], zones["min"], zones["max"]) == ("Cel", "-100", "1800")
    assert zones["max_items"] == "32"
    state = rows["telemetry", "status.operational_state"]
    assert (state["known"], state["max_length"]) == ("running stopped fault", "64")
    arguments = rows["command", "args.*"]
    assert (arguments["max"], arguments["max_length"]) == ("9007199254740991", "64")
    assert rows["telemetry", "device_id"]["required"] == "yes"
    assert rows["status", "config.rev"]["required"] == "yes"


def test_since_is_1_0_for_what_the_first_payloads_had_only():
    first = {(r["kind"], r["path"]) for r in dictionary() if r["since"] == "1.0"}
    assert {path for kind, path in first if kind == "config"} == set(CONFIG)
    assert {path for kind, path in first if kind == "telemetry"} == {
        "device_id",
        "timestamp",
        *(f"electrical.{q}.{p}" for q in ("voltage", "current") for p in "abc"),
        "electrical.power_factor",
        "thermal.temperature_zones[]",
        "thermal.setpoint",
        "status.operational_state",
        "status.wifi_rssi",
        "status.uptime_seconds",
    }
    assert {kind for kind, _ in first} == {"telemetry", "config"}
    assert {row["since"] for row in dictionary()} == {"1.0", "1.1"}


@pytest.mark.parametrize("kind", FULL)
def test_the_influx_fields_are_those_of_the_mapping(kind):
    message = decode(topic(kind), json.dumps(FULL[kind]).encode())
    assert_holds_every_field(message)
    stored = influx.to_point(topic(kind), message, received_ms=0).fields
    assert {influx_name(name): OF_INFLUX[type(v)] for name, v in stored.items()} == {
        row["influx_field"]: row["influx_type"]
        for row in dictionary()
        if row["kind"] == kind and row["influx_field"]
    }


def assert_holds_every_field(struct):
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if field.name != "v":  # which has one value only
            assert value != field.default, f"FULL lacks {field.name}"
        if isinstance(value, msgspec.Struct):
            assert_holds_every_field(value)


def influx_name(name):
    words = name.split("_")
    return "_".join(["N" if word.isdigit() else word for word in words])


def test_what_is_not_archived_has_no_influx_field():
    for row in dictionary():
        if row["kind"] in {"config", "command"}:
            assert (row["influx_field"], row["influx_type"]) == ("", "")


def test_the_markdown_tells_the_same_rows():
    lines = render()["dictionary.md"].splitlines()
    paths = [line.split("`")[1] for line in lines if line.startswith("| `")]
    rows = [row["path"] for row in dictionary()]
    assert paths[: len(rows)] == rows
    assert (
        "| `electrical.voltage.a` | number | V | 0 to 1000 | no | RMS voltage "
        "| `electrical_voltage_a` float | 1.0 |"
    ) in lines
    assert "`running`, `stopped`, `fault`, or another |" in render()["dictionary.md"]
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in tables} == {9, 3}


def test_the_reasons_are_those_that_are_raised():
    told = reasons()
    assert set(told["TopicError"]) == {
        "wrong_root",
        "wrong_levels",
        "bad_facility",
        "bad_device_id",
        "unknown_kind",
    }
    assert "device_mismatch" in told["InvalidPayload"]
    assert "not_finite" in told["EncodeError"]


def test_the_rules_are_those_of_the_vectors_with_what_each_shows():
    rows = re.findall(
        r"^\| ([A-Z]+-\d+) \| (.*) \|$", render()["rules.md"], re.MULTILINE
    )
    told = {}
    for name in ("topics", *KINDS):
        told |= vectors.load(name)[0]
    assert {rule: row.split(" | ")[0] for rule, row in rows} == told
    assert (
        dict(rows)["WIRE-5"]
        == "an object names each member once | 1 | 4 `duplicate` | "
    )


# AsyncAPI


def test_asyncapi_tells_topics_and_delivery_as_the_requirements_do():
    document = asyncapi()
    told = {}
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        binding = operation["bindings"]["mqtt"]
        told[channel] = (operation["action"], binding["qos"], binding["retain"])
    assert told == {
        "telemetry": ("send", 1, True),
        "status": ("send", 1, True),
        "config": ("receive", 1, True),
        "command": ("receive", 1, False),
    }
    assert told == {k: (d.action, d.qos, d.retain) for k, d in DELIVERY.items()}
    for kind, channel in document["channels"].items():
        assert channel["address"] == f"sensors/{{facility}}/{{device_id}}/{kind}"
        assert channel["parameters"] == {
            "facility": {"description": "1-32 characters, words joined by hyphens."},
            "device_id": {
                "description": "`{device_type}-{unit}`, 3-48 characters.",
            },
        }


def test_asyncapi_tells_the_last_will():
    will = asyncapi()["servers"]["broker"]["bindings"]["mqtt"]["lastWill"]
    assert json.loads(will.pop("message")) == WILL
    assert will == {
        "topic": "sensors/{facility}/{device_id}/status",
        "qos": 1,
        "retain": True,
    }


def test_asyncapi_has_the_schemas_and_examples():
    document = asyncapi()["components"]
    assert set(document["messages"]) == set(KINDS)
    for kind, message in document["messages"].items():
        assert message["payload"] == {
            "$ref": f"#/components/schemas/{TYPES[kind].__name__}"
        }
        examples = {each["name"]: each["payload"] for each in message["examples"]}
        assert examples == EXAMPLES[kind]
    schemas = document["schemas"]
    assert (
        schemas["Thermal"]["properties"]
        == (json_schema("telemetry")["$defs"]["Thermal"]["properties"])
    )


# Home Assistant


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
    told = {
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
    assert told == {
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


def test_home_assistant_is_told_of_what_is_there_only():
    payload = {
        "device_id": "oven-001",
        "timestamp": 1706352600,
        "boot": 3,
        "electrical": {"voltage": {"b": 0.0}},
        "thermal": {"temperature_zones": [None, 20.0]},
    }
    _, told = discovered(payload, birth=WILL)
    assert list(told["components"]) == [
        "electrical_voltage_b",
        "thermal_temperature_zones_0",  # there, but not read this time
        "thermal_temperature_zones_1",
    ]
    assert "sw_version" not in told["device"]


def test_home_assistant_shows_what_was_measured_and_nothing_else():
    """Rendered as Home Assistant does; `None` is "unknown", nothing is "no change"."""
    sandbox = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    _, told = discovered(FULL["telemetry"])

    def shown(payload):
        return {
            name: sandbox.from_string(component["value_template"]).render(
                value_json=payload
            )
            for name, component in told["components"].items()
        }

    live = {**FULL["telemetry"], "buffered": False}
    fields = influx.to_point(
        topic("telemetry"), msgspec.convert(live, Telemetry), received_ms=0
    ).fields
    assert shown(live) == {name: str(fields[name]) for name in told["components"]}
    assert len(told["components"]) > 20
    partial = {
        "electrical": {"voltage": {"a": 0.0}, "current": None},
        "thermal": {"temperature_zones": [None]},
    }
    unknown = dict.fromkeys(told["components"], "None")
    assert shown(partial) == {**unknown, "electrical_voltage_a": "0.0"}
    assert set(shown({**partial, "buffered": True}).values()) == {""}


def test_a_birth_tells_which_sensors_to_expect():
    sensors = ["pzem_b", "ds18b20:28ff", "max31855:cs5", "input_run"]
    birth = Status(device_id="oven-001", state="online", sensors=sensors)
    _, told = discovery(topic("status"), birth)
    assert list(told["components"]) == [
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
        address, told = discovery(Topic(facility, device, "status"), birth, reading)
        ids |= {address, told["components"]["status_wifi_rssi"]["unique_id"]}
    assert len(ids) == 6


# The tools of others


@pytest.fixture(scope="session")
def npm_directory(tmp_path_factory):
    """A directory with the generated files, in which node finds the other tools."""
    directory = tmp_path_factory.mktemp("npm")
    require("node", "apt-get install nodejs")
    npm = require("npm", "apt-get install npm")
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    run([npm, "install", *quiet, "--prefix", directory, *NPM_PACKAGES], directory)
    write(directory)
    return directory


def run(command, directory):
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


VALIDATE = """
const { Parser } = require("@asyncapi/parser");
(async () => {
  for (const name of process.argv.slice(1)) {
    const text = require("fs").readFileSync(name, "utf-8");
    const { document, diagnostics } = await new Parser().parse(text);
    const isParsed = document !== undefined;
    const complaints = diagnostics.filter(({ severity }) => severity <= 1);
    console.log(JSON.stringify({ isParsed, complaints }));
  }
})();
"""


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
def test_the_parser_of_asyncapi_has_no_complaint_and_would_have_some(npm_directory):
    wrong = asyncapi()
    wrong["operations"]["send_status"]["bindings"]["mqtt"]["qos"] = 3
    del wrong["channels"]["config"]["messages"]["config"]
    (npm_directory / "wrong.json").write_text(json.dumps(wrong))
    # One process: to load the parser takes most of the time.
    printed = run(
        ["node", "-e", VALIDATE, "asyncapi.json", "wrong.json"], npm_directory
    )
    ours, others = map(json.loads, printed.splitlines())
    assert ours == {"isParsed": True, "complaints": []}
    assert not others["isParsed"]
    assert len(others["complaints"]) >= 2


USAGE = """
import type {{ Kind, Payloads, Telemetry, Topic }} from "./egiz";

export const telemetry: Telemetry = {telemetry};
export const status: Payloads["status"] = {status};
export const config: Payloads["config"] = {config};
export const command: Payloads["command"] = {command};
export const topic: Topic<"factory", "oven-001", "status"> =
  "sensors/factory/oven-001/status";
export const zones: Array<number | null> = telemetry.thermal?.temperature_zones ?? [];
// @ts-expect-error: there is no such kind
export const kind: Kind = "event";
// @ts-expect-error: a device id has a hyphen
export const bad: Topic = "sensors/factory/oven/status";
// @ts-expect-error: a reading has a time
export const timeless: Telemetry = {{ device_id: "oven-001" }};
// @ts-expect-error: a voltage is a number
export const text: Telemetry["electrical"] = {{ voltage: {{ a: "220" }} }};
"""


@pytest.mark.timeout(400)  # npm and node, on a loaded machine
def test_typescript_takes_the_types_and_the_examples(npm_directory):
    examples = {
        kind: json.dumps(next(iter(payloads.values())))
        for kind, payloads in {**EXAMPLES, **{k: {"": FULL[k]} for k in FULL}}.items()
    }
    usage = npm_directory / "usage.ts"
    usage.write_text(USAGE.format(**examples))
    compiler = npm_directory / "node_modules" / ".bin" / "tsc"
    run([compiler, "--strict", "--noEmit", "egiz.ts", "usage.ts"], npm_directory)


def test_every_kind_of_message_is_documented():
    assert set(get_args(Message)) == {Telemetry, Status, Config, Command}
    assert set(TYPES) == set(DELIVERY) == set(EXAMPLES) == set(KINDS)
    assert all(fields(kind) for kind in KINDS)
