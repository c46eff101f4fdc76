"""The JSON Schemas refuse what the decoder refuses."""

import contextlib
import json

import pytest
from egiz_schema import (
    EgizError,
    Topic,
    decode,
    decode_with_dropped,
    models,
)
from egiz_schema.codec import TYPES
from egiz_schema.documents import render
from egiz_schema.documents.examples import EXAMPLES
from egiz_schema.documents.json_schema import components, json_schema
from jsonschema import Draft202012Validator
from rig.documents import KINDS


def validator(kind):
    return Draft202012Validator(json_schema(kind))


def topic(kind):
    return Topic("factory", "oven-001", kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_and_says_what_it_is(kind):
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
        ("telemetry", {"thermal": {"setpoint": -201}}, ["thermal"]),
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
    text = json.dumps(payload).encode()
    # A schema is for writers; a reader may forgive, but it says so.
    assert models.problems(topic(kind), text)
    with contextlib.suppress(EgizError):
        assert decode_with_dropped(topic(kind), text)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_requires_what_the_decoder_requires(kind):
    payload = next(iter(EXAMPLES[kind].values()))
    for name in json_schema(kind)["required"]:
        partial = {key: value for key, value in payload.items() if key != name}
        assert not validator(kind).is_valid(partial)
        with pytest.raises(EgizError):
            decode(topic(kind), json.dumps(partial).encode())


def test_descriptions_say_null_where_docstrings_say_none():
    schemas = components(TYPES.values(), "{name}")
    assert schemas["Thermal"]["description"] == (
        "Temperatures in °C, zone by zone; `null` is a zone that could not be read."
    )
    assert not any("\n " in schema["description"] for schema in schemas.values())
