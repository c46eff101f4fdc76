"""The gate of the contract: what breaks somebody, and what does not."""

import ast
import inspect
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from egiz_schema import codec, contract, errors, gate
from hypothesis import given
from hypothesis import strategies as st

FROZEN = json.loads(contract.RELEASED.read_bytes()) | {"reader": {}}
VOLTAGE = "electrical.voltage.a"
ZONE = "thermal.temperature_zones[]"
# Where, what is there instead (... is nothing), and the breach: one rule each, and the
# bounds of the payload, which hold in both directions.
BREAKING = [
    (
        ["reader", "unknown_group_alone"],
        "empty",
        'UNKNOWN_GROUP_ACCEPTED telemetry null "empty"',
    ),
    (["wire", "version"], 2, "WIRE_VERSION_SAME wire.version 1 2"),
    (["wire", "bytes_max"], 4095, "BOUND_NOT_NARROWED wire.bytes_max 4096 4095"),
    (["wire", "depth_max"], 17, "BOUND_NOT_WIDENED wire.depth_max 16 17"),
    (["topic", "root"], "s", 'TOPIC_GRAMMAR_SAME topic.root "sensors" "s"'),
    (["topic", "facility_max"], 64, "TOPIC_GRAMMAR_SAME topic.facility_max 32 64"),
    (["messages", "command"], ..., 'MESSAGE_NO_DELETE command "service" null'),
    (
        ["messages", "status", "direction"],
        "service",
        'RETAIN_QOS_SAME status.direction "device" "service"',
    ),
    (
        ["messages", "command", "retain"],
        True,
        "RETAIN_QOS_SAME command.retain false true",
    ),
    (["messages", "config", "qos"], 0, "RETAIN_QOS_SAME config.qos 1 0"),
    (
        ["messages", "telemetry", "fields", "thermal.setpoint"],
        ...,
        'FIELD_NO_DELETE telemetry.thermal.setpoint "number|null" null',
    ),
    (
        ["messages", "config", "fields", "wifi_ssid"],
        ...,
        'FIELD_NO_DELETE config.wifi_ssid "string|null" null',
    ),
    (
        ["messages", "telemetry", "fields", "batch"],
        {"type": "integer", "required": True},
        'FIELD_NEW_MUST_BE_OPTIONAL telemetry.batch null "integer"',
    ),
    (
        ["messages", "config", "fields", "alerts{}.delay"],
        {"type": "integer", "required": True},
        'FIELD_NEW_MUST_BE_OPTIONAL config.alerts{}.delay null "integer"',
    ),
    (
        ["messages", "telemetry", "fields", "timestamp", "type"],
        "number",
        'FIELD_SAME_TYPE telemetry.timestamp.type "integer" "number"',
    ),
    (
        ["messages", "telemetry", "fields", ZONE, "type"],
        "number",
        f'FIELD_SAME_TYPE telemetry.{ZONE}.type "number|null" "number"',
    ),
    (
        ["messages", "config", "fields", "zones<key>", "pattern"],
        "^[0-9a-f]*$",
        'FIELD_SAME_TYPE config.zones<key>.pattern "^[ -~]*$" "^[0-9a-f]*$"',
    ),
    (
        ["messages", "command", "fields", "id", "required"],
        False,
        "FIELD_REQUIRED_NOT_RELAXED command.id.required true false",
    ),
    (
        ["messages", "telemetry", "fields", "seq", "required"],
        True,
        "FIELD_OPTIONAL_NOT_REQUIRED telemetry.seq.required false true",
    ),
    (
        ["messages", "telemetry", "fields", "buffered", "default"],
        True,
        "DEFAULT_SAME telemetry.buffered.default false true",
    ),
    (
        ["messages", "telemetry", "fields", VOLTAGE, "unit"],
        "mV",
        f'UNIT_SAME telemetry.{VOLTAGE}.unit "V" "mV"',
    ),
    (
        ["messages", "telemetry", "fields", VOLTAGE, "maximum"],
        500,
        f"BOUND_NOT_NARROWED telemetry.{VOLTAGE}.maximum 1000 500",
    ),
    (
        ["messages", "status", "fields", "sensors", "min_length"],
        1,
        "BOUND_NOT_NARROWED status.sensors.min_length null 1",
    ),
    (
        ["messages", "config", "fields", "sampling_rate_ms", "minimum"],
        10,
        "BOUND_NOT_WIDENED config.sampling_rate_ms.minimum 100 10",
    ),
    (
        ["messages", "command", "fields", "args{}<string>", "max_length"],
        ...,
        "BOUND_NOT_WIDENED command.args{}<string>.max_length 64 null",
    ),
    (
        ["messages", "status", "fields", "state", "known"],
        ["online", "offline"],
        'ENUM_NO_DELETE status.state.sleeping "sleeping" null',
    ),
    (
        ["messages", "telemetry", "fields", VOLTAGE, "multiple_of"],
        0.5,
        f"SCALE_SAME telemetry.{VOLTAGE}.multiple_of null 0.5",
    ),
    (
        ["messages", "command", "fields", "action", "open"],
        False,
        "FIELD_SAME_TYPE command.action.open null false",
    ),
    (
        ["errors", "InvalidPayload"],
        [code for code in FROZEN["errors"]["InvalidPayload"] if code != "range"],
        'REASON_CODE_NO_DELETE errors.InvalidPayload.range "range" null',
    ),
]
OPTIONAL = {"type": "object|null", "required": False, "default": None}
HARMLESS = [
    (["messages", "telemetry", "fields", "vibration"], OPTIONAL),
    (["messages", "command", "fields", "origin"], OPTIONAL),
    (["messages", "telemetry", "fields", VOLTAGE, "maximum"], 1500),
    (["messages", "telemetry", "fields", VOLTAGE, "minimum"], ...),
    (["messages", "config", "fields", "sampling_rate_ms", "minimum"], 200),
    (["messages", "command", "fields", "args", "min_length"], 1),
    (["messages", "status", "fields", "state", "known", 3], "updating"),
    (["messages", "event"], FROZEN["messages"]["status"]),
    (["errors", "InvalidPayload", 8], "too_old"),
]
SETPOINT = gate.Breach("FIELD_NO_DELETE", "telemetry.thermal.setpoint", "number", None)


def changed(place, value):
    document = deepcopy(FROZEN)
    part = document
    for name in place[:-1]:
        part = part[name]
    if value is ...:
        del part[place[-1]]
    elif isinstance(part, list):
        part.insert(place[-1], value)
    else:
        part[place[-1]] = value
    return document


def texts(breaches):
    return [str(breach) for breach in breaches]


def test_todays_contract_keeps_the_released_one():
    assert texts(gate.check()) == []


def test_the_same_contract_is_frozen_byte_for_byte(tmp_path):
    for name in ("one", "two"):
        contract.freeze(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_bytes()) == contract.describe()


def test_a_field_is_described_with_all_that_is_promised_of_it():
    fields = contract.describe()["messages"]["telemetry"]["fields"]
    assert fields[VOLTAGE] == {
        "type": "number|null",
        "required": False,
        "default": None,
        "minimum": 0,
        "maximum": 1000,
        "unit": "V",
    }
    assert fields["status.operational_state"]["known"] == [
        "running",
        "stopped",
        "fault",
    ]
    assert fields["status.fault_codes"]["default"] == []


@pytest.mark.parametrize("option", ["array_like", "forbid_unknown_fields", "tag"])
def test_a_message_that_cannot_evolve_is_not_reported(monkeypatch, option):
    closed = msgspec.defstruct("Closed", [], **{option: True})
    monkeypatch.setitem(codec.TYPES, "telemetry", closed)
    with pytest.raises(AssertionError):
        contract.describe()


@pytest.mark.parametrize(("place", "value", "breach"), BREAKING)
def test_a_breaking_change_breaks_one_rule(place, value, breach):
    assert texts(gate.compare(FROZEN, changed(place, value))) == [breach]


@pytest.mark.parametrize(("place", "value"), HARMLESS)
def test_an_additive_change_breaks_none(place, value):
    assert texts(gate.compare(FROZEN, changed(place, value))) == []


@pytest.mark.parametrize("kind", ["status", "command"])
def test_a_closed_set_does_not_grow_in_either_direction(kind):
    field = {"type": "string|null", "required": False, "default": None, "open": False}
    place = ["messages", kind, "fields", "mode"]
    old = changed(place, field | {"known": ["auto", "manual"]})
    new = changed(place, field | {"known": ["auto", "manual", "eco"]})
    grown = f'ENUM_ADD_ONLY_IF_OPEN {kind}.mode.eco null "eco"'
    assert texts(gate.compare(old, new)) == [grown]
    shrunk = f'ENUM_NO_DELETE {kind}.mode.eco "eco" null'
    assert texts(gate.compare(new, old)) == [shrunk]


def test_a_closed_set_is_described_as_one(monkeypatch):
    mode = ("mode", Literal["auto", "manual"] | None, None)
    struct = msgspec.defstruct("Closed", [mode])
    monkeypatch.setitem(codec.TYPES, "status", struct)
    found = contract.describe()["messages"]["status"]["fields"]["mode"]
    assert found == {
        "type": "string|null",
        "required": False,
        "default": None,
        "known": ["auto", "manual"],
        "open": False,
    }


def test_every_rule_is_broken_by_some_test():
    broken = {breach.split()[0] for _, _, breach in BREAKING}
    others = {"ALLOWANCE_UNUSED", "ENUM_ADD_ONLY_IF_OPEN"}  # tested by themselves
    assert broken | others == set(gate.RULES)


def test_what_is_deleted_or_new_is_reported_once_with_all_that_is_within():
    old, new = deepcopy(FROZEN), deepcopy(FROZEN)
    for document, gone in ((new, "electrical"), (old, "thermal")):
        fields = document["messages"]["telemetry"]["fields"]
        for path in [path for path in fields if path.startswith(gone)]:
            del fields[path]
    # Required, but only within something new that is not.
    new["messages"]["telemetry"]["fields"]["thermal.setpoint"]["required"] = True
    deleted = 'FIELD_NO_DELETE telemetry.electrical "object|null" null'
    assert texts(gate.compare(old, new)) == [deleted]


def test_a_reason_that_goes_to_another_error_is_lost():
    left = [code for code in FROZEN["errors"]["EncodeError"] if code != "not_finite"]
    new = changed(["errors", "EncodeError"], left)
    new["errors"]["InvalidPayload"].append("not_finite")
    lost = 'REASON_CODE_NO_DELETE errors.EncodeError.not_finite "not_finite" null'
    assert texts(gate.compare(FROZEN, new)) == [lost]


def written(folder, text):
    path = folder / "allow.toml"
    path.write_text(text)
    return path


def allowance(rule, path, reason):
    return f'[[allow]]\nrule = "{rule}"\npath = "{path}"\nreason = "{reason}"\n'


def test_a_breach_that_is_allowed_is_not_reported(tmp_path):
    allowed = written(tmp_path, allowance(SETPOINT.rule, SETPOINT.path, "never sent"))
    other = gate.Breach("UNIT_SAME", SETPOINT.path, "Cel", "K")
    allowances = gate.read_allowances(allowed)
    assert gate.excuse([SETPOINT, other], allowances) == [other]


def test_an_allowance_that_allows_nothing_is_reported(tmp_path):
    allowed = written(tmp_path, allowance(SETPOINT.rule, "telemetry.seq", "old"))
    unused = 'ALLOWANCE_UNUSED telemetry.seq "FIELD_NO_DELETE" null'
    found = gate.excuse([SETPOINT], gate.read_allowances(allowed))
    assert texts(found) == [str(SETPOINT), unused]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[allow]]\nrule = "UNIT_SAME"\npath = "x"',
            "missing required field `reason`",
        ),
        (allowance("UNIT_SAME", "x", " "), "matching regex"),
        (allowance("UNIT_SAME", "x", "y") + "until = 2", "unknown field `until`"),
        ("allow = 1", "Expected `array`"),
        ("allow", "Expected '='"),
    ],
)
def test_an_allowance_without_a_reason_is_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        gate.read_allowances(written(tmp_path, text))


def test_the_check_reads_what_is_allowed_beside_the_released_contract(tmp_path):
    released = tmp_path / "v1.json"
    today = contract.describe()
    today["messages"]["telemetry"]["fields"]["torque"] = OPTIONAL
    released.write_text(json.dumps(today))
    gone = 'FIELD_NO_DELETE telemetry.torque "object|null" null'
    assert texts(gate.check(released)) == [gone]
    written(tmp_path, allowance("FIELD_NO_DELETE", "telemetry.torque", "a draft"))
    assert texts(gate.check(released)) == []


@pytest.mark.parametrize("kind", codec.TYPES)
def test_delivery_is_what_the_message_says_of_itself(kind):
    found = codec.TYPES[kind].__doc__
    delivery = contract.describe()["messages"][kind]
    assert f"/{kind}``, QoS {delivery['qos']}, " in found
    assert (", never retained" not in found) is delivery["retain"]


def test_the_errors_promise_every_reason_that_is_raised():
    promised = {
        code for codes in contract.describe()["errors"].values() for code in codes
    }
    raised = set()
    for path in Path(inspect.getfile(errors)).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in vars(
                errors
            ):
                raised |= {
                    a.value for a in call.args[1:2] if isinstance(a, ast.Constant)
                }
    assert raised
    assert raised <= promised


@st.composite
def mutated(draw):
    """The frozen contract, with fields that are gone and bounds that moved."""
    document = deepcopy(FROZEN)
    for message in document["messages"].values():
        fields = message["fields"]
        for path in draw(st.lists(st.sampled_from(list(fields)), unique=True)):
            change = draw(st.sampled_from(["gone", "required", "maximum", "unit"]))
            if change == "gone":
                del fields[path]
            else:
                value = {"required": st.booleans(), "maximum": st.integers()}
                fields[path][change] = draw(value.get(change, st.text()))
    return document


@given(mutated())
def test_no_contract_breaks_itself(document):
    assert gate.compare(document, deepcopy(document)) == []


@given(mutated(), mutated())
def test_every_breach_has_a_rule_and_is_allowed_by_name(old, new):
    found = gate.compare(old, new)
    assert {breach.rule for breach in found} <= set(gate.RULES)
    allowances = [gate.Allowance(each.rule, each.path, "meant") for each in found]
    assert gate.excuse(found, allowances) == []


@given(st.sampled_from(["telemetry", "config"]), st.integers(), st.integers())
def test_a_bound_that_moves_breaks_in_one_direction_only(kind, one, other):
    place = ["messages", kind, "fields", "device_id", "max_length"]
    old, new = changed(place, one), changed(place, other)
    there, back = gate.compare(old, new), gate.compare(new, old)
    assert len(there) + len(back) == (one != other)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([], {}, "not a released contract: its member `wire` is missing"),
        ([], [], "Expected `object`, got `array`"),
        (["errors"], ..., "its member `errors` is missing"),
        (["messages", "status", "fields"], ..., "its member `fields` is missing"),
        (["messages", "status", "direction"], "up", "Invalid enum value 'up'"),
        (["messages", "telemetry", "fields", "seq", "type"], ..., "`type` is missing"),
        (["messages", "telemetry", "fields", "seq", "minimum"], "a", "got `str`"),
        (["wire", "bytes_max"], [], "got `array`"),
    ],
)
def test_a_file_that_is_no_contract_is_refused_with_what_is_wrong(
    tmp_path, path, value, message
):
    document = {"": deepcopy(FROZEN)}
    place = document
    for name in ["", *path][:-1]:
        place = place[name]
    place[["", *path][-1]] = value
    if value is ...:
        del place[path[-1]]
    released = tmp_path / "v1.json"
    released.write_text(json.dumps(document[""]))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        gate.check(released)
    assert str(caught.value).startswith(str(released))


@pytest.mark.parametrize("content", [b"\xff", b"", b"[" * 100_000, b"null"])
def test_a_file_that_is_not_even_json_is_a_sentence(tmp_path, content):
    (tmp_path / "v1.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"v1\.json: not a released contract"):
        gate.check(tmp_path / "v1.json")
