"""The topic grammar: the same vectors on the server and on the device."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from egiz_schema import EgizError, Topic, TopicError, limits, parse_topic, topics
from hypothesis import given
from hypothesis import strategies as st

FILE = files("egiz_schema") / "vectors" / "topics.json"
LOADED = json.loads(FILE.read_text())
VECTORS = LOADED["vectors"]
SHARED = Path(topics.__file__).parent
_PARTS = ("facility", "device_id", "kind")

_ON_THE_DEVICE = """
import json, sys
import topics
with open(sys.argv[1]) as file:
    vectors = json.load(file)["vectors"]
for vector in vectors:
    try:
        found = {"verdict": "accept", "parts": topics.split_topic(vector["topic"])}
        found["typed"] = topics.split_device_id(found["parts"][1])
    except ValueError as fault:
        found = {"verdict": "reject", "reason": fault.args[0]}
    print(json.dumps(found))
"""


def _expected(vector):
    if vector["verdict"] == "reject":
        return {"verdict": "reject", "reason": vector["reason"]}
    return {
        "verdict": "accept",
        "parts": [vector[part] for part in _PARTS],
        "typed": [vector["device_type"], vector["unit"]],
    }


def _found(topic):
    try:
        parsed = parse_topic(topic)
    except TopicError as fault:
        return {"verdict": "reject", "reason": fault.reason}
    assert str(parsed) == topic
    return {
        "verdict": "accept",
        "parts": [getattr(parsed, part) for part in _PARTS],
        "typed": [parsed.device_type, parsed.unit],
    }


def test_there_are_enough_topics():
    # That each rule is shown both ways is tested with the other vectors.
    assert len({v["topic"] for v in VECTORS if v["rule"] != "TOPIC-1"}) > 60


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: repr(v["topic"])[:60])
def test_a_vector_on_the_server(vector):
    assert _found(vector["topic"]) == _expected(vector)


def test_all_vectors_on_the_device(micropython):
    printed = micropython.run(_ON_THE_DEVICE, str(FILE), path=[SHARED])
    assert [json.loads(line) for line in printed.splitlines()] == [
        _expected(vector) for vector in VECTORS
    ]


def test_the_limits_are_the_same_on_the_device(micropython):
    names = sorted(name for name in vars(limits) if name.isupper())
    code = (
        f"import limits, json\nfor n in {names}: print(json.dumps(getattr(limits, n)))"
    )
    printed = micropython.run(code, path=[SHARED])
    printed_values = [json.loads(line) for line in printed.splitlines()]
    expected = [json.loads(json.dumps(getattr(limits, name))) for name in names]
    assert printed_values == expected
    assert len(printed_values) > 15


@given(st.text())
def test_any_text_is_a_topic_or_a_topic_error(text):
    found = _found(text)
    assert f"``{found.get('reason', 'wrong_root')}``" in TopicError.__doc__


_word = st.text("abcxyz019_", min_size=1, max_size=5)
_words = st.lists(_word, min_size=1, max_size=4).map("-".join)


@given(_words, _words, _word, st.sampled_from(topics.KINDS))
def test_parsing_undoes_building(facility, device_type, unit, kind):
    topic = Topic(facility, f"{device_type}-{unit}", kind)
    assert parse_topic(str(topic)) == topic
    assert (topic.device_type, topic.unit) == (device_type, unit)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (("Factory", "oven-001", "telemetry"), "bad_facility"),
        (("factory", "oven", "telemetry"), "bad_device_id"),
        (("factory", "oven-001", "data"), "unknown_kind"),
        (("factory", "oven-001/x", "data"), "bad_device_id"),
        (("factory", "#-#", "telemetry"), "bad_device_id"),
    ],
)
def test_a_topic_that_a_broker_would_drop_cannot_be_built(parts, reason):
    with pytest.raises(TopicError) as caught:
        Topic(*parts)
    assert caught.value.reason == reason
    assert isinstance(caught.value, EgizError)
    assert isinstance(caught.value, ValueError)


def test_a_topic_is_a_value():
    topic = Topic("factory", "oven-001", "telemetry")
    assert topic == parse_topic("sensors/factory/oven-001/telemetry")
    assert len({topic, parse_topic(str(topic))}) == 1
    with pytest.raises(AttributeError):
        topic.facility = "other"
