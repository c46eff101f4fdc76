"""The pydantic models: to the structs and back, and what becomes of unknown members."""

import math

import msgspec
import pytest
from egiz_schema import (
    Config,
    EncodeError,
    Firmware,
    Telemetry,
    codec,
    decode,
    encode,
    models,
    testing,
    vectors,
)
from hypothesis import given, settings
from pydantic import ValidationError

READ = [
    vector
    for kind in codec.TYPES
    for vector in vectors.load(kind)[1]
    if vector["verdict"] in {"accept", "repair"}
]
OVEN = {"device_id": "oven-001"}


class StrictConfig(models.Config, extra="forbid"):
    """A body that refuses what it does not know."""


class OpenTelemetry(models.Telemetry, extra="allow"):
    """One that keeps it."""


def test_every_message_that_a_reader_accepts_becomes_a_model_and_comes_back():
    assert len(READ) > 100
    for vector in READ:
        topic = vectors.topic_of(vector)
        message = decode(topic, vectors.payload_of(vector))
        model = models.MODELS[topic.kind].from_struct(message)
        assert model.to_struct() == message, vector
        assert model == models.decode(topic, vectors.payload_of(vector)), vector


@pytest.mark.parametrize("kind", codec.TYPES)
def test_any_valid_message_survives_the_way_there_and_back(kind):
    @settings(max_examples=50)
    @given(testing.messages(kind))
    def survives(message):
        model = models.MODELS[kind].from_struct(message)
        assert model.to_struct() == message

    survives()


def test_a_struct_that_breaks_the_contract_becomes_no_model():
    with pytest.raises(ValidationError):
        models.Config.from_struct(Config(**OVEN, rev=-1))
    with pytest.raises(ValidationError):
        models.Telemetry.from_struct(
            Telemetry(**OVEN, timestamp=1706352600, values={"room": math.inf})
        )


def test_a_copy_that_was_changed_is_checked_when_it_becomes_a_struct():
    config = models.Config(**OVEN, rev=1)
    assert config.model_copy(update={"rev": 2}).to_struct() == Config(**OVEN, rev=2)
    with pytest.raises(EncodeError) as refused:
        config.model_copy(update={"rev": -1}).to_struct()
    assert refused.value.reason == "range"


def test_a_subclass_refuses_unknown_members_wherever_they_are():
    body = {
        **OVEN,
        "rate": 1,
        "alerts": {"x": {"min": 1, "mim": 2}},
        "firmware": {"version": "1", "url": "http://x", "sha": "0"},
    }
    assert models.Config.model_validate(body).alerts["x"].min == 1
    with pytest.raises(ValidationError) as refused:
        StrictConfig.model_validate(body)
    assert [(each["loc"], each["type"]) for each in refused.value.errors()] == [
        (("alerts", "x", "mim"), "extra_forbidden"),
        (("firmware", "sha"), "extra_forbidden"),
        (("rate",), "extra_forbidden"),
    ]
    # Its parts are those of the contract, to whoever reads them.
    good = StrictConfig(**OVEN, firmware={"version": "1", "url": "http://x"})
    assert isinstance(good, models.Config)
    assert isinstance(good.firmware, models.Firmware)
    assert good.to_struct() == Config(
        **OVEN, firmware=Firmware(version="1", url="http://x")
    )


def test_a_subclass_keeps_unknown_members_and_names_them():
    document = {
        **OVEN,
        "timestamp": 1706352600,
        "electrical": {"power_factor": 0.9, "thd": {"a": 1.5}},
        "thermal": {"setpoint": 5.0},
        "newer": [1],
    }
    reading = OpenTelemetry.model_validate(document)
    assert reading.model_dump(exclude_defaults=True) == document
    assert models.unknown_members(reading) == ("$.electrical.thd", "$.newer")
    assert models.unknown_members(models.Telemetry.model_validate(document)) == ()
    assert encode(reading.to_struct()) == encode(
        decode("sensors/a/oven-001/telemetry", msgspec.json.encode(document))
    )


def test_a_subclass_may_have_members_of_its_own_and_subclasses():
    class WithNote(StrictConfig):
        note: str = ""

    assert WithNote(**OVEN, note="x").to_struct() == Config(**OVEN)
    with pytest.raises(ValidationError):
        WithNote.model_validate({**OVEN, "alerts": {"x": {"mim": 2}}})
