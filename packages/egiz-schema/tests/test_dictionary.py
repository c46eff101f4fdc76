"""The data dictionary has each field, with its unit and InfluxDB field."""

import csv
import io
import itertools
import json
import re

import msgspec
import pytest
from egiz_schema import (
    Topic,
    decode,
    influx,
    orders,
)
from egiz_schema.codec import TYPES
from egiz_schema.documents import render
from egiz_schema.documents.examples import CONFIG
from egiz_schema.documents.json_schema import components
from egiz_schema.documents.meanings import MEANINGS
from egiz_schema.errors import reasons
from egiz_schema.quantities import QUANTITIES
from rig.documents import FULL, KINDS

OF_INFLUX = {float: "float", int: "int", bool: "bool", str: "string"}


def dictionary():
    return list(csv.DictReader(io.StringIO(render()["dictionary.csv"])))


def topic(kind):
    return Topic("factory", "oven-001", kind)


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
            assert int(row["max_length"]) <= 200, row


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
    assert (zones["unit"], zones["min"], zones["max"]) == ("Cel", "-200", "1800")
    assert zones["max_items"] == "32"
    state = rows["telemetry", "status.operational_state"]
    assert (state["known"], state["max_length"]) == ("running stopped fault", "64")
    arguments = rows["command", "args.*"]
    assert (arguments["max"], arguments["max_length"]) == ("9007199254740991", "200")
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
    """As the dictionary writes it: `N` is an index, `*` a name that people chose."""
    words = name.split("_")
    if words[0] in {"values", "counters", "contacts", "channels"}:
        words[1] = "*"
    return "_".join(["N" if word.isdigit() else word for word in words])


def test_what_is_not_archived_has_no_influx_field():
    for row in dictionary():
        if row["kind"] in {"config", "command"}:
            assert (row["influx_field"], row["influx_type"]) == ("", "")


def test_the_markdown_has_the_same_rows():
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
    assert {line.count("|") for line in tables} == {9, 6, 3}


def test_the_markdown_has_each_quantity_with_unit_range_and_class():
    lines = render()["dictionary.md"].splitlines()
    assert "| `humidity` | values | % | 0 to 100 | humidity |" in lines
    assert "| `water` | counters | L | 0 to 9007199254740991 | water |" in lines
    assert "| `door` | contacts |  |  | door |" in lines
    assert "| `torque` | values | N.m | -1000000 to 1000000 |  |" in lines
    start = lines.index("| quantity | member | unit | range | Home Assistant |")
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    assert [row.split("`")[1] for row in rows] == list(QUANTITIES)


def test_the_reasons_are_those_that_are_raised():
    documented = reasons()
    assert set(documented["TopicError"]) == {
        "wrong_root",
        "wrong_levels",
        "bad_facility",
        "bad_device_id",
        "unknown_kind",
    }
    assert "device_mismatch" in documented["InvalidPayload"]
    assert "not_finite" in documented["EncodeError"]


def test_every_action_is_in_the_table_with_its_arguments():
    table = render()["dictionary.md"].partition("## Actions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (\w+) \| (\w+) \|", table, re.MULTILINE)
    assert [name for name, *_ in rows] == list(orders.ACTIONS)
    shown = {name: (arguments, confirm) for name, arguments, confirm, _ in rows}
    assert shown["identify"] == ("[`seconds` an integer, 1 to 600]", "no")
    assert shown["factory_reset"] == ("`confirm` a text, 0 to 64 characters", "yes")
