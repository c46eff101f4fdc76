"""Two families, one contract: msgspec structs and pydantic models agree."""

import json
import subprocess
import sys
from collections import Counter
from functools import partial

import msgspec
import pydantic
import pytest
from egiz_schema import (
    DecodeError,
    codec,
    decode_with_dropped,
    errors,
    messages,
    models,
    vectors,
)
from egiz_schema.documents.json_schema import json_schema
from rig.mutations import mutated


def _verdict(decoder, topic, payload):
    """(reason, path), or the message with what was dropped from it."""
    try:
        message, dropped = decoder(topic, payload)
    except DecodeError as fault:
        return fault.reason, fault.path
    if isinstance(message, msgspec.Struct):
        return json.loads(msgspec.json.encode(message)), dropped
    return json.loads(message.model_dump_json(exclude_defaults=True)), dropped


def _seeds(kind):
    """What is accepted, of every rule; so that a change is as likely to hit each."""
    _, loaded = vectors.load(kind)
    read = ("accept", "repair")
    return [vectors.payload_of(v) for v in loaded if v["verdict"] in read]


def _fuzzed(count, seed):
    """The payloads about which the families differ, and how often each was said.

    Whatever is no `DecodeError` escapes, and ends the fuzz.
    """
    differing, said = [], Counter()
    for number, kind in enumerate(codec.TYPES):
        topic = f"sensors/factory/oven-001/{kind}"
        for payload in mutated(_seeds(kind), count // len(codec.TYPES), seed + number):
            fast = _verdict(decode_with_dropped, topic, payload)
            slow = _verdict(models.decode_with_dropped, topic, payload)
            if fast != slow:
                differing.append((payload, fast, slow))
            said[_said(*fast)] += 1
    return differing, said


def _said(what, where):
    if isinstance(what, str):
        return what
    return "repaired" if where else "accepted"


def test_mutated_payloads_get_the_same_verdict_reason_and_paths():
    differing, said = _fuzzed(12_000, seed=1)
    assert differing == []
    # They do not all fall at the first hurdle; only a change to nothing is not made.
    reasons = errors.reasons()
    known = {
        *reasons["MalformedPayload"],
        *reasons["InvalidPayload"],
        "accepted",
        "repaired",
    }
    assert said.keys() == known - {"no_payload"}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_mutated_payloads_get_the_same_verdict_reason_and_paths(capsys):
    differing, said = _fuzzed(1_000_000, seed=1000)
    with capsys.disabled():
        print(f"\n{said.total()} payloads: {dict(said.most_common())}")  # noqa: T201  # the figure
    assert differing == []


def _normalised(schema, definitions):
    """What a schema says, without how it is written: references, order, and titles.

    What the structs call a title of the whole, pydantic gives to each part of it, too.
    """
    if isinstance(schema, list):
        return [_normalised(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _normalised(definitions[schema["$ref"].split("/")[-1]], definitions)
    # A member may be called as a word of JSON Schema is, but for these two.
    kept = {k: v for k, v in schema.items() if k not in {"title", "$defs"}}
    if not kept.get("required", True):
        del kept["required"]
    kept = {key: _normalised(value, definitions) for key, value in kept.items()}
    if "anyOf" in kept:
        kept["anyOf"] = sorted(kept["anyOf"], key=partial(json.dumps, sort_keys=True))
    return kept


@pytest.mark.parametrize("kind", codec.TYPES)
def test_schemas_say_the_same_also_unit_pattern_meaning_and_examples(kind):
    ours = json_schema(kind)
    named = {ours.pop("$schema"), ours.pop("$id")}
    theirs = models.MODELS[kind].model_json_schema()
    ours = _normalised(ours, ours["$defs"])
    assert _normalised(theirs, theirs.get("$defs")) == ours
    assert len(named) == 2


def test_every_struct_has_its_model():
    structs = {
        name: value
        for name, value in vars(messages).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and not name.startswith("_")
    }
    assert len(structs) > 12
    for name in structs:
        assert issubclass(getattr(models, name), pydantic.BaseModel)


def test_all_problems_are_reported_at_once_and_in_order():
    payload = (
        b'{"thermal":{"setpoint":"warm"},"electrical":{"voltage":{"a":-1,"b":2000}},'
        b'"timestamp":5,"status":{"fault_codes":[1]}}'
    )
    found = models.problems("sensors/factory/oven-001/telemetry", payload)
    assert [(fault.path, fault.reason) for fault in found] == [
        ("$.thermal.setpoint", "type"),
        ("$.electrical.voltage.a", "range"),
        ("$.electrical.voltage.b", "range"),
        ("$.timestamp", "range"),
        ("$.status.fault_codes[0]", "type"),
        ("$.device_id", "missing"),
    ]


@pytest.mark.parametrize(
    ("kind", "text", "paths"),
    [
        (
            "config",
            '"alerts":{"%s":{"min":true}}',
            ["$.alerts<key>", "$.alerts.%s.min"],
        ),
        ("config", '"zones":{"%s":1}', ["$.zones<key>", "$.zones.%s"]),
        (
            "command",
            '"args":{"%s":[]},"id":"1","action":"x"',
            ["$.args<key>", "$.args.%s"],
        ),
    ],
)
def test_a_name_is_read_before_its_value(kind, text, paths):
    name = "x" * 65
    payload = b'{"device_id":"oven-001",%b}' % (text % name).encode()
    topic = f"sensors/factory/oven-001/{kind}"
    found = models.problems(topic, payload)
    assert [fault.path for fault in found] == [
        path.replace("%s", name) for path in paths
    ]
    assert [fault.reason for fault in found] == ["range", "type"]
    assert _verdict(decode_with_dropped, topic, payload) == ("range", paths[0])


def test_checks_beyond_types_are_reported_together():
    payload = b'{"device_id":"mixer-001","timestamp":1706352600,"status":{}}'
    found = models.problems("sensors/factory/oven-001/telemetry", payload)
    assert [fault.reason for fault in found] == ["empty", "device_mismatch"]


def test_a_config_of_a_newer_contract_may_have_any_timestamp():
    payload = b'{"device_id":"oven-001","timestamp":0}'
    assert models.problems("sensors/factory/oven-001/config", payload) == []


def test_no_secret_is_in_an_error():
    payload = b'{"device_id":"oven-001","wifi_ssid":["S3cret"],"mqtt_broker":5}'
    found = models.problems("sensors/factory/oven-001/config", payload)
    assert len(found) == 2
    assert "S3cret" not in "".join(map(repr, found))


def test_pydantic_is_imported_with_the_models_only():
    code = (
        "import sys, egiz_schema; assert 'pydantic' not in sys.modules;"
        "import egiz_schema.models; assert 'pydantic' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("telemetry", '"state":"x"'),
        ("telemetry", '"thermal":{"setpoint":1},"values":[' + "1," * 32 + "1]"),
        (
            "telemetry",
            '"thermal":{"setpoint":1,"temperature_zones":{'
            + ",".join(f'"{n}":1' for n in range(33))
            + "}}",
        ),
        ("status", '"state":"online","schema_version":"7"'),
        ("status", '"state":"online","schema_version":5,"schema":"1"'),
        ("command", '"id":"1","action":"x","args":{"a":{"bool":1,"str":2}}'),
    ],
)
def test_unknown_names_and_wrong_containers_are_read_alike(kind, members):
    stamp = "" if kind == "command" else '"timestamp":1706352600,'
    payload = f'{{"device_id":"oven-001",{stamp}{members}}}'.encode()
    topic = f"sensors/factory/oven-001/{kind}"
    expected = _verdict(decode_with_dropped, topic, payload)
    assert _verdict(models.decode_with_dropped, topic, payload) == expected


@pytest.mark.parametrize("members", [{"foo": 1}, {"thermal": {"foo": 1}}])
def test_a_writer_says_nothing_by_what_no_reader_knows(members):
    body = {"device_id": "oven-001", "timestamp": 1706352600, **members}
    with pytest.raises(pydantic.ValidationError, match="must say something"):
        models.Telemetry.model_validate(body)
