"""The golden vectors, with msgspec, pydantic, and a real InfluxDB."""

import contextlib
import json
import re
from importlib.resources import files

import pytest
from egiz_schema import (
    DecodeError,
    EncodeError,
    Topic,
    codec,
    decode,
    decode_with_dropped,
    encode,
    influx,
    line_protocol,
    models,
)
from egiz_schema.documents.fields import fields
from egiz_schema.messages import Telemetry

DIRECTORY = files("egiz_schema") / "vectors"
FILES = {
    kind: json.loads((DIRECTORY / f"{kind}.json").read_text()) for kind in codec.TYPES
}
VECTORS = [vector for loaded in FILES.values() for vector in loaded["vectors"]]
READ = ("accept", "repair")
RECEIVED_MS = 1_706_352_600_777


def _payload(vector):
    if "json" in vector:
        return json.dumps(vector["json"]).encode()
    return vector["text"].encode() if "text" in vector else bytes.fromhex(vector["hex"])


def _topic(vector):
    return Topic("factory", vector.get("device_id", "oven-001"), vector["kind"])


def _verdict(decoder, vector):
    try:
        _, dropped = decoder(_topic(vector), _payload(vector))
    except DecodeError as fault:
        return {"verdict": "reject", "reason": fault.reason}
    if dropped:
        listed = [{"path": part.path, "reason": part.reason} for part in dropped]
        return {"verdict": "repair", "dropped": listed}
    return {"verdict": "accept"}


def _expected(vector):
    keys = ("verdict", "reason", "dropped")
    return {key: vector[key] for key in keys if key in vector}


def _is_unknown(vector):
    """Whether a reader of today knows nothing of it but who sent it."""
    message = decode(_topic(vector), _payload(vector))
    return isinstance(message, Telemetry) and not codec.has_reading(message)


def _points():
    return [vector for vector in VECTORS if "point" in vector]


def test_there_are_enough_of_them_and_each_rule_is_shown_both_ways():
    files_ = [*FILES.values(), json.loads((DIRECTORY / "topics.json").read_text())]
    every = [vector for loaded in files_ for vector in loaded["vectors"]]
    assert len(every) >= 200
    rules = {rule for loaded in files_ for rule in loaded["rules"]}
    for rule in rules:
        verdicts = {v["verdict"] for v in every if v["rule"] == rule}
        assert "accept" in verdicts, rule
        assert verdicts & {"reject", "repair"}, rule
    assert {vector["rule"] for vector in every} == rules


@pytest.mark.parametrize(
    ("rule", "words", "reasons"),
    [
        ("WIRE-1", "4096 bytes", {"too_large", "no_payload"}),
        ("WIRE-2", "UTF-8", {"not_utf8"}),
        ("WIRE-4", "byte order mark", {"not_json"}),
        ("WIRE-5", "each member once", {"duplicate"}),
        ("WIRE-6", "16 deep", {"too_deep"}),
        ("WIRE-7", "finite", {"range"}),
        ("WIRE-8", "surrogate", {"not_json"}),
        ("WIRE-12", "unknown members", {"empty"}),
        ("WIRE-17", "no NaN, no Infinity", {"not_json", "type"}),
        ("WIRE-18", "no newline", {"charset", "not_json"}),
    ],
)
def test_what_parsers_disagree_about_is_a_rule_with_its_reasons(rule, words, reasons):
    sentences = {
        sentence for f in FILES.values() for sentence in [f["rules"].get(rule)]
    }
    (sentence,) = sentences - {None}
    assert words in sentence
    rejected = [v for v in VECTORS if v["rule"] == rule and v["verdict"] == "reject"]
    assert {vector["reason"] for vector in rejected} == reasons


def test_what_is_skipped_is_held_to_the_rules_of_the_wire_too():
    """A reader that skips unknown members unread takes what others refuse."""
    rejected = [v for v in VECTORS if v["verdict"] == "reject"]
    assert {v["rule"] for v in rejected if "in an unknown" in v["about"]} >= {
        "WIRE-2",
        "WIRE-5",
        "WIRE-6",
        "WIRE-8",
        "WIRE-17",
    }


# One struct: what is shown of one is shown of the other.
_SAME = {("status", "health"): ("telemetry", "status")}


def _shown():
    """Kind and path of each member in a vector that is accepted."""
    for vector in VECTORS:
        if vector["verdict"] != "accept":
            continue
        with contextlib.suppress(ValueError):  # it may be no JSON
            for path in _paths(json.loads(_payload(vector)), ()):
                yield vector["kind"], *path


def _paths(part, path):
    yield path
    if isinstance(part, dict):
        for name, value in part.items():
            yield from _paths(value, (*path, name))
    elif isinstance(part, list):
        for value in part:
            yield from _paths(value, (*path[:-1], f"{path[-1]}[]"))


def test_every_field_is_in_a_vector_so_that_other_readers_are_held_to_it():
    shown = set(_shown())
    for kind in codec.TYPES:
        for field in fields(kind):
            whole = (kind, *field.path)
            whole = (*_SAME.get(whole[:2], whole[:2]), *whole[2:])
            found = any(
                len(path) == len(whole)
                and all(map(lambda ours, its: ours in {"*", its}, whole, path))
                for path in shown
            )
            name = ".".join(whole)
            assert found or name.endswith(".v"), (
                f"add a vector with {name} to vectors/{kind}.json"
            )


def test_every_reason_that_a_reader_may_give_is_shown():
    kinds = DecodeError.__subclasses__()
    named = {
        reason for kind in kinds for reason in re.findall(r"``(\w+)``", kind.__doc__)
    }
    assert {vector["reason"] for vector in VECTORS if "reason" in vector} == named


@pytest.mark.parametrize(
    "decoder",
    [decode_with_dropped, models.decode_with_dropped],
    ids=["msgspec", "pydantic"],
)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['rule']}-{v['about']}")
def test_a_vector(decoder, vector):
    if vector["verdict"] == "either":
        # A freedom of readers; but ours take the same.
        theirs = _verdict(models.decode_with_dropped, vector)
        assert _verdict(decode_with_dropped, vector) == theirs
    else:
        assert _verdict(decoder, vector) == _expected(vector)


@pytest.mark.parametrize(
    "vector",
    # Of what no reader knows, nothing is written again.
    [v for v in VECTORS if v["verdict"] in READ and not _is_unknown(v)],
    ids=lambda v: f"{v['rule']}-{v['about']}",
)
def test_what_is_read_round_trips(vector):
    message = decode(_topic(vector), _payload(vector))
    assert decode(_topic(vector), encode(message)) == message


@pytest.mark.parametrize("vector", _points(), ids=lambda v: f"{v['rule']}-{v['about']}")
def test_what_is_accepted_is_the_point_that_is_expected(vector):
    message = decode(_topic(vector), _payload(vector))
    point = influx.to_point(_topic(vector), message, RECEIVED_MS)
    expected = vector["point"]
    assert point.fields == expected["fields"]
    # 1 == 1.0 == True: their types are part of what a database keeps.
    assert {name: type(value) for name, value in point.fields.items()} == {
        name: type(value) for name, value in expected["fields"].items()
    }
    time_ms = expected["time_ms"]
    assert point.time_ms == (RECEIVED_MS if time_ms is None else time_ms)


def test_influxdb_accepts_every_vector_and_reads_back_the_same(influxdb):
    """Each vector as a device of its own, so that no two points are one."""
    expected = {}
    for number, vector in enumerate(v for v in VECTORS if v["verdict"] in READ):
        if _is_unknown(vector):
            continue
        topic = _topic(vector)
        point = influx.to_point(topic, decode(topic, _payload(vector)), RECEIVED_MS)
        if not point.fields:
            continue  # a config may ask for nothing
        device = f"vector-{number}"
        point = point._replace(device_id=device, device_type="vector")
        influxdb.write(influx.to_line(point))
        expected[device] = (vector["kind"], point.time_ms, dict(point.fields))
    found = {}
    for kind in FILES:
        for row in influxdb.query(f"SELECT * FROM {kind} GROUP BY *"):
            tags = ("device_id", "device_type", "facility", "time")
            fields = {k: v for k, v in row.items() if k not in tags and v is not None}
            found[row["device_id"]] = (kind, row["time"], fields)
    assert found == expected
    assert {kind for kind, _, _ in found.values()} == set(FILES)
    assert len(found) > 85


def test_an_old_reader_accepts_what_a_newer_one_writes():
    """Unknown members of each group, at once, in every vector that is accepted."""
    for vector in VECTORS:
        if vector["verdict"] != "accept" or "json" not in vector:
            continue
        newer = vector["json"] | {"zz": {"deep": [1, None]}}
        for name, group in vector["json"].items():
            if isinstance(group, dict) and name not in {
                "zones",
                "alerts",
                "args",
                "values",
                "counters",
                "contacts",
                "channels",
            }:
                newer[name] = group | {"zz": "newer"}
        message = decode(_topic(vector), json.dumps(newer).encode())
        assert message == decode(_topic(vector), _payload(vector))


def test_the_shape_cache_does_not_change_a_verdict():
    """Whatever was read before: forwards, backwards, and again."""
    for order in (VECTORS, VECTORS[::-1], VECTORS):
        for vector in order:
            if vector["verdict"] != "either":
                said = _verdict(decode_with_dropped, vector)
                assert said == _expected(vector), vector


def test_the_example_of_the_requirements_is_telemetry():
    (example,) = [v for v in VECTORS if v["rule"] == "TEL-1" and "point" in v]
    assert isinstance(decode(_topic(example), _payload(example)), Telemetry)


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v["verdict"] in READ and _is_unknown(v)],
    ids=lambda v: f"{v['rule']}-{v['about']}",
)
def test_what_only_a_newer_reader_knows_is_no_point_and_can_be_read_again(vector):
    topic, payload = _topic(vector), _payload(vector)
    for write in (
        lambda: influx.to_point(topic, decode(topic, payload), RECEIVED_MS),
        lambda: line_protocol.decode_line(topic, payload, RECEIVED_MS),
    ):
        with pytest.raises(EncodeError) as caught:
            write()
        assert caught.value.reason == "unknown"
