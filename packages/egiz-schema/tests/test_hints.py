"""An error says what to do about what is often wrong, and never quotes a value."""

import base64
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import pytest
from egiz_schema import (
    Channel,
    Config,
    DecodeError,
    Electrical,
    EncodeError,
    Health,
    Status,
    Telemetry,
    Thermal,
    decode,
    encode,
    models,
)

TOPIC = "sensors/factory/oven-001/telemetry"
GOOD = '{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":190.0}}'
OVEN = {"device_id": "oven-001", "timestamp": 1706352600}


class State(Enum):
    RUNNING = "running"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (GOOD + "\0", "a NUL byte follows the JSON"),
        (GOOD + "\n\0\0", "a NUL byte follows the JSON"),
        (GOOD.replace('"', "'"), "double quotes, not single ones"),
        (GOOD.replace("190.0", "nan"), "no NaN"),
        (GOOD.replace("190.0", "-inf"), "no NaN"),
        (GOOD.replace("190.0", "NaN"), "no NaN"),
        ("\ufeff" + GOOD, "a byte order mark comes first"),
        (GOOD[:-1] + ",}", "a comma comes before a member only"),
        (GOOD[:-1] + " , \n }", "a comma comes before a member only"),
        (GOOD.replace("190.0", "[1,2,]"), "a comma comes before a member only"),
        (GOOD + GOOD, "a second JSON follows; publish each message by itself"),
        (GOOD + "\n" + GOOD, "a second JSON follows"),
        (GOOD.replace("190.0", "True"), "true, false and null"),
        (GOOD.replace("190.0", "None"), "true, false and null"),
        (GOOD.replace("190.0", ".5"), "a number as 0.5"),
        (GOOD.replace("190.0", "+5"), "a number as 0.5"),
        (GOOD.replace("190.0", "007"), "a number as 0.5"),
        (GOOD.replace("{", "{ // an oven\n", 1), "no comments"),
        (GOOD[:40], "a buffer may have cut it"),
        (GOOD[:-1], "a buffer may have cut it"),
        (GOOD.encode().hex(), "hexadecimal digits"),
        (GOOD.encode().hex(" ").upper(), "hexadecimal digits"),
        (base64.b64encode(GOOD.encode()).decode(), "JSON as base64"),
        ("oven-001,1706352600,190.0", "a payload is one JSON object"),
        ("1706352600,190.0", "a payload is one JSON object"),
        ("190.0", "a payload is one JSON object"),
        ("temperature=190.0", "a payload is one JSON object"),
        ("null", "a payload is one JSON object"),
        (f"[{GOOD}]", "publish each message by itself"),
        ('"' + GOOD.replace('"', '\\"') + '"', "it was encoded twice"),
        ("{}", "the object is empty"),
        (GOOD.replace("timestamp", "timestmp"), "is timestmp meant to be timestamp?"),
        (GOOD.replace("device_id", "deviceId"), "is deviceId meant to be device_id?"),
        (GOOD.replace("1706352600", "1706352600123"), "milliseconds? divide by 1000"),
        (GOOD.replace("1706352600", "1706352600123456"), "microseconds?"),
        (GOOD.replace("1706352600", "1706352600123456789"), "nanoseconds?"),
        (GOOD.replace("1706352600", "1706352600.5"), "whole seconds"),
        (GOOD.replace("1706352600", "9" * 350), "4102444800"),
        (GOOD.replace("1706352600", "1e999"), "Expected `int`"),
        (GOOD.replace("1706352600", '"2024-01-27T10:50:00Z"'), "whole seconds since"),
    ],
)
def test_an_error_of_reading_says_what_to_do(payload, words):
    with pytest.raises(DecodeError) as refused:
        decode(TOPIC, payload.encode())
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "payload",
    [
        GOOD.replace("190.0", "S3cret"),
        GOOD.replace("190.0", '"S3cret"S3cret'),
        GOOD.replace('"oven-001"', "S3cret"),
        'S3cret,"S3cret"',
        '"{S3cret}"',
        GOOD.replace("1706352600", '"S3cret"'),
        GOOD.replace("timestamp", "S3cret " * 5),
    ],
)
def test_no_value_is_in_an_error(payload):
    with pytest.raises(DecodeError) as refused:
        decode(TOPIC, payload.encode())
    assert "S3cret" not in f"{refused.value} {refused.value.path}"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            Telemetry(**OVEN, thermal=Thermal(temperature_zones=(1.0, None))),
            "$.thermal.temperature_zones: tuple is no list; list(...) makes one",
        ),
        (
            Telemetry(**OVEN, thermal={"setpoint": 1.0}),
            "$.thermal: dict is no Thermal; build egiz_schema.Thermal(...)",
        ),
        (
            Telemetry(**OVEN, thermal=models.Thermal(setpoint=1.0)),
            "$.thermal: Thermal is no Thermal; it is a pydantic model",
        ),
        (
            Telemetry(**OVEN, thermal=Electrical(power_factor=0.9)),
            "$.thermal: Electrical is no Thermal",
        ),
        (
            Telemetry(device_id="oven-001", timestamp=datetime.now(UTC)),
            "$.timestamp: a datetime is no int; time_fields(it)",
        ),
        (
            Telemetry(**OVEN, thermal=Thermal(setpoint=Decimal("1.5"))),
            "$.thermal.setpoint: Decimal is no float; float(...) makes one",
        ),
        (
            Telemetry(**OVEN, thermal=Thermal(setpoint="190")),
            "$.thermal.setpoint: str is no float; float(...) makes one",
        ),
        (
            Telemetry(**OVEN, thermal=Thermal(setpoint=True)),
            "$.thermal.setpoint: bool is no float",
        ),
        (
            Telemetry(**OVEN, status=Health(operational_state=State.RUNNING)),
            "$.status.operational_state: State is no str; its .value may be one",
        ),
        (
            Telemetry(**OVEN, status=Health(operational_state=b"running")),
            "$.status.operational_state: bytes is no str; .decode() makes a str",
        ),
        (
            Telemetry(**OVEN, status=Health(fault_codes={"a"})),
            "$.status.fault_codes: set is no list; list(...) makes one",
        ),
        (
            Telemetry(**OVEN, values={"room": object()}),
            "$.values.room: object is no float",
        ),
        (
            Status(device_id="oven-001", state="on", channels={"a": {"quantity": "x"}}),
            "$.channels.a: dict is no Channel; build egiz_schema.Channel(...)",
        ),
        (
            Status(device_id="oven-001", state="on", channels=[Channel(quantity="x")]),
            "$.channels: list is no dict",
        ),
        (OVEN, "a dict is no message; msgspec.convert(it, egiz_schema.Telemetry)"),
        (models.Telemetry.model_validate_json(GOOD), "encode its .to_struct()"),
        (GOOD, "str is no message"),
        (GOOD.encode(), "bytes is no message; if it is a payload already"),
        (Thermal(setpoint=1.0), "Thermal is no message"),
        (None, "NoneType is no message"),
    ],
)
def test_an_error_of_writing_says_what_to_do(message, words):
    with pytest.raises(EncodeError) as refused:
        encode(message)
    assert words in str(refused.value)
    assert refused.value.reason == "type"


def test_an_error_of_writing_says_where():
    with pytest.raises(EncodeError, match=r"^\$\.rev: ") as refused:
        encode(Config(device_id="oven-001", rev=-1))
    assert refused.value.reason == "range"
    with pytest.raises(EncodeError, match=r"is this milliseconds\?"):
        encode(Telemetry(device_id="oven-001", timestamp=1706352600123))
