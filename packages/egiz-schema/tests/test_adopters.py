"""What a service needs besides decode and encode: topics, delivery, time, builders."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from egiz_schema import (
    Channel,
    Command,
    Config,
    EgizError,
    EncodeError,
    Status,
    Telemetry,
    Thermal,
    Topic,
    TopicError,
    birth,
    decode,
    delivery_of,
    encode,
    last_will,
    models,
    new_command,
    next_config,
    orders,
    publication,
    subscription,
    time_fields,
    time_of,
    topic_of,
    units,
)
from egiz_schema.codec import TYPES
from paho.mqtt.client import topic_matches_sub

READING = Telemetry(
    device_id="oven-001", timestamp=1706352600, ms=123, thermal=Thermal(setpoint=1.0)
)


def test_a_filter_matches_its_topics_and_no_others():
    every = list(product(("plant", "hall-2"), ("oven-001", "heat-pump-01"), TYPES))
    for wanted in product((None, "plant"), (None, "oven-001"), (None, "status")):
        matched = [
            t
            for t in every
            if topic_matches_sub(subscription(*wanted), "/".join(("sensors", *t)))
        ]
        assert matched == [
            t
            for t in every
            if all(w in {None, level} for w, level in zip(wanted, t, strict=True))
        ]
    assert subscription() == "sensors/+/+/+"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"facility": "+"}, "bad_facility"),
        ({"facility": "a/b"}, "bad_facility"),
        ({"facility": ""}, "bad_facility"),
        ({"device_id": "oven"}, "bad_device_id"),
        ({"device_id": ""}, "bad_device_id"),
        ({"kind": "#"}, "unknown_kind"),
    ],
)
def test_a_filter_of_no_topic_is_refused(given, reason):
    with pytest.raises(TopicError) as refused:
        subscription(**given)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("message", "kind", "qos", "retain"),
    [
        (READING, "telemetry", 1, True),
        (last_will("oven-001"), "status", 1, True),
        (Config(device_id="oven-001"), "config", 1, True),
        (Command(device_id="oven-001", id="1", action="reboot"), "command", 1, False),
    ],
)
def test_a_publication_has_topic_payload_and_delivery(message, kind, qos, retain):
    sent = publication("plant", message)
    assert sent == (f"sensors/plant/oven-001/{kind}", encode(message), qos, retain)
    assert topic_of("plant", message) == Topic("plant", "oven-001", kind)
    assert (delivery_of(kind).qos, delivery_of(kind).retain) == (qos, retain)
    assert decode(sent.topic, sent.payload, type(message)) == message


def test_what_was_buffered_is_not_retained():
    old = models.Telemetry.from_struct(READING).model_copy(update={"buffered": True})
    assert publication("plant", old.to_struct()).retain is False


def test_a_publication_for_no_facility_is_refused():
    with pytest.raises(TopicError):
        publication("Plant", READING)


def test_decode_refuses_a_topic_of_another_message():
    with pytest.raises(TopicError, match="a topic of telemetry has no Status") as error:
        decode("sensors/a/oven-001/telemetry", encode(READING), Status)
    assert error.value.reason == "unknown_kind"


def test_the_time_of_a_message_is_aware_and_exact():
    when = datetime(2024, 1, 27, 10, 50, 0, 123_000, tzinfo=UTC)
    assert time_of(READING) == when
    assert time_of(READING).tzinfo is UTC
    assert time_of(models.Telemetry.from_struct(READING)) == when
    assert time_of(last_will("oven-001")) is None
    assert time_fields(when) == {"timestamp": 1706352600, "ms": 123}
    # A quarter of a millisecond is cut, in any zone; a float would round it.
    elsewhere = when.astimezone(timezone(timedelta(hours=5.5)))
    almost = elsewhere + timedelta(microseconds=999)
    assert time_fields(almost) == {"timestamp": 1706352600, "ms": 123}
    for ms in range(1000):
        exact = when.replace(microsecond=ms * 1000)
        made = Telemetry(device_id="oven-001", **time_fields(exact))
        assert (made.ms, time_of(made)) == (ms, exact)


def test_a_time_without_a_zone_is_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"datetime\.now\(UTC\)"):
        time_fields(datetime(2024, 1, 27))  # noqa: DTZ001  # what is refused


def test_units_are_those_of_the_contract_by_path():
    telemetry = units()
    assert telemetry["thermal.setpoint"] == "Cel"
    assert telemetry["thermal.temperature_zones"] == "Cel"
    assert telemetry["electrical.energy_wh.a"] == "W.h"
    assert telemetry["electrical.power_factor"] == "1"
    assert units("config")["sampling_rate_ms"] == "ms"
    # None for a text, a truth value, and what a device declares in its birth.
    assert not {"device_id", "buffered", "values.*", "values"} & telemetry.keys()
    with pytest.raises(TypeError):
        telemetry["thermal.setpoint"] = "K"


def test_a_command_has_an_id_of_its_own_and_expires():
    before = int(datetime.now(UTC).timestamp())
    made = [new_command("oven-001", "identify", {"seconds": 5}) for _ in range(1000)]
    after = int(datetime.now(UTC).timestamp())
    assert len({command.id for command in made}) == 1000
    for command in made:
        assert before + 60 <= command.expires_at <= after + 60
        orders.check_command(json.loads(encode(command)), "oven-001")
    later = new_command("oven-001", "reboot", expires_in=timedelta(hours=1))
    assert before + 3600 <= later.expires_at <= after + 3601
    assert later.args is None


@pytest.mark.parametrize(
    ("action", "args", "reason", "words"),
    [
        ("identify", {"seconds": 0}, "range", "identify: args.seconds: not 1..600"),
        ("identify", {"second": 5}, "type", "not of this action"),
        ("ota", {"version": "1"}, "missing", "args.url: missing"),
        ("factory_reset", None, "missing", "args.confirm"),
        ("factory_reset", {"confirm": "oven-002"}, "device_mismatch", "not the device"),
    ],
)
def test_arguments_that_a_device_would_refuse_make_no_command(
    action, args, reason, words
):
    with pytest.raises(EncodeError, match=words) as refused:
        new_command("oven-001", action, args)
    assert refused.value.reason == reason


def test_an_action_of_newer_firmware_is_passed_on():
    assert new_command("oven-001", "tare", {"zone": 1}).args == {"zone": 1}


def test_a_command_that_would_have_expired_already_is_refused():
    with pytest.raises(ValueError, match="more than 0"):
        new_command("oven-001", "reboot", expires_in=timedelta())


def test_the_next_config_has_the_next_revision():
    first = next_config(Config(device_id="oven-001"), publish_rate_ms=5000)
    assert first == Config(device_id="oven-001", rev=1, publish_rate_ms=5000)
    second = next_config(first, publish_rate_ms=None, buffer_size=10)
    assert second == Config(device_id="oven-001", rev=2, buffer_size=10)
    with pytest.raises(TypeError, match="publish_rate"):
        next_config(first, publish_rate=1)


def test_a_birth_says_what_the_device_is_and_when_it_was_born():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    born = birth("oven-001", 7, channels={"rh": Channel(quantity="humidity")})
    assert before <= time_of(born) <= datetime.now(UTC)
    assert (born.state, born.boot, born.schema) == ("online", 7, "1")
    topic, payload, *_ = publication("plant", born)
    assert decode(topic, payload) == born


def test_a_last_will_has_no_time_and_the_boot_of_its_device():
    assert json.loads(encode(last_will("oven-001", 7))) == {
        "device_id": "oven-001",
        "state": "offline",
        "boot": 7,
    }


def test_a_dict_has_no_topic():
    with pytest.raises(EgizError, match="a dict is no message"):
        topic_of("plant", {"device_id": "oven-001"})


def test_the_time_of_a_clock_that_was_never_set_is_a_datetime():
    payload = (
        b'{"device_id":"silo-001","timestamp":-9007199254740991,"values":{"a":1},'
        b'"status":{"time_synced":false}}'
    )
    message = decode("sensors/factory/silo-001/telemetry", payload)
    assert time_of(message).year == 1
