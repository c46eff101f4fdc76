"""Two independent validators of JSON Schema say what a strict reader says.

A schema is for writers, so it is compared with `models.problems`: what a reader would
have to forgive is wrong. Each difference that there is has a name here, and a sentence
in `docs/contract/index.md`.
"""

import json
from collections import Counter

import jsonschema_rs
import pytest
from egiz_schema import DecodeError, codec, models, vectors, wire
from egiz_schema.documents.json_schema import json_schema
from jsonschema import Draft202012Validator
from rig.mutations import mutated

SSID = "$.wifi_ssid"
# Python's $ accepts one behind it, so it is for validators that use Python's patterns.
LINE_FEED = "a line feed at the end"


def _python(kind):
    return Draft202012Validator(json_schema(kind)).is_valid


def _rust(kind):
    return jsonschema_rs.Draft202012Validator(json_schema(kind)).is_valid


VALIDATORS = {"jsonschema": _python, "jsonschema-rs": _rust}


def _difference(document, found):
    """Why a schema accepts what a strict reader refuses; nothing if it must not."""
    names = {_name(document, error) for error in found}
    return set() if None in names else names


def _name(document, error):
    if error.reason == "device_mismatch":
        return "another device"
    if error.reason == "empty":
        return "nothing measured"
    if error.reason == "range" and error.path == SSID:
        return "a network's name in bytes"
    if error.reason == "charset" and '\\n"' in json.dumps(document):
        return LINE_FEED
    return None


def _verdicts(topic, payload):
    """(document, what is wrong with it), or nothing of what is no JSON of the wire."""
    try:
        document = wire.parse(payload)
    except DecodeError:
        return None
    return document, models.problems(topic, payload)


def _differing(kind, topic, payloads):
    """The payloads about which a validator and a strict reader differ, and why."""
    validators = {name: make(kind) for name, make in VALIDATORS.items()}
    differing, counted = [], Counter()
    for payload in payloads:
        read = _verdicts(topic, payload)
        if read is None:
            continue
        document, found = read
        names = _difference(document, found)
        for name, is_valid in validators.items():
            said = is_valid(document)
            counted[said] += 1
            if said == (not found):
                continue
            if said and names and (name == "jsonschema" or LINE_FEED not in names):
                counted.update(names)
            else:
                differing.append(
                    (name, said, payload, [(e.path, e.reason) for e in found])
                )
    return differing, counted


@pytest.mark.parametrize("kind", codec.TYPES)
def test_validators_say_of_each_vector_what_a_strict_reader_says(kind):
    loaded = [v for v in vectors.load(kind)[1] if v["verdict"] != "either"]
    counted = Counter()
    for vector in loaded:
        topic = vectors.topic_of(vector)
        differing, said = _differing(kind, topic, [vectors.payload_of(vector)])
        assert differing == [], vector
        counted += said
    assert counted[True] > 20
    assert counted[False] > 20


@pytest.mark.parametrize("kind", codec.TYPES)
def test_validators_say_of_mutated_payloads_what_a_strict_reader_says(kind):
    seeds = [
        vectors.payload_of(v)
        for v in vectors.load(kind)[1]
        if v["verdict"] in {"accept", "repair"}
    ]
    topic = f"sensors/factory/oven-001/{kind}"
    differing, counted = _differing(kind, topic, mutated(seeds, 1500, 7))
    assert differing == []
    assert counted[True] > 100
    assert counted[False] > 100


@pytest.mark.soak
def test_validators_say_of_many_mutated_payloads_what_a_strict_reader_says(capsys):
    for kind in codec.TYPES:
        seeds = [vectors.payload_of(v) for v in vectors.load(kind)[1]]
        topic = f"sensors/factory/oven-001/{kind}"
        differing, counted = _differing(kind, topic, mutated(seeds, 25_000, 99))
        with capsys.disabled():
            print(f"\n{kind}: {dict(counted)}")  # noqa: T201  # the figure
        assert differing == []
