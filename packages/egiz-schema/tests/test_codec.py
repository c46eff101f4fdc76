"""Payloads: what is taken, what is refused, and why."""

import copy
import json
import math
import pickle
import sys

import pytest
from egiz_schema import (
    Command,
    Config,
    DecodeError,
    Dropped,
    EgizError,
    Electrical,
    EncodeError,
    Health,
    InvalidPayload,
    MalformedPayload,
    Status,
    Telemetry,
    Thermal,
    VoltagePhases,
    decode,
    decode_with_dropped,
    encode,
    limits,
    models,
    parse_topic,
    unknown_fields,
)
from hypothesis import given
from hypothesis import strategies as st

TELEMETRY = "sensors/factory/oven-001/telemetry"
STATUS = "sensors/factory/oven-001/status"
CONFIG = "sensors/factory/oven-001/config"
COMMAND = "sensors/factory/oven-001/command"

# FR-1.5 and FR-1.7 of the requirements, to the byte.
PRD_TELEMETRY = b"""{
  "device_id": "oven-001",
  "timestamp": 1706352600,
  "electrical": {
    "voltage": {
      "a": 220.5,
      "b": 219.8,
      "c": 221.0
    },
    "current": {
      "a": 15.2,
      "b": 14.8,
      "c": 15.5
    },
    "power_factor": 0.92
  },
  "thermal": {
    "temperature_zones": [185.0, 190.0, 188.5],
    "setpoint": 190.0
  },
  "status": {
    "operational_state": "running",
    "wifi_rssi": -65,
    "uptime_seconds": 86400
  }
}"""
PRD_CONFIG = b"""{
  "device_id": "oven-001",
  "sampling_rate_ms": 1000,
  "publish_rate_ms": 5000,
  "buffer_size": 100,
  "wifi_ssid": "Factory-IoT",
  "mqtt_broker": "192.168.1.100:1883"
}"""


def _telemetry(**members):
    whole = {
        "device_id": "oven-001",
        "timestamp": 1706352600,
        "status": {"uptime_seconds": 1},
    }
    return json.dumps(whole | members).encode()


def _reason(topic, payload):
    with pytest.raises(DecodeError) as caught:
        decode(topic, payload)
    return caught.value.reason


@pytest.mark.parametrize(
    ("topic", "payload"), [(TELEMETRY, PRD_TELEMETRY), (CONFIG, PRD_CONFIG)]
)
def test_the_payloads_of_the_requirements_round_trip(topic, payload):
    message = decode(topic, payload)
    assert json.loads(encode(message)) == json.loads(payload)
    assert decode(topic, encode(message)) == message


def test_the_telemetry_of_the_requirements_means_what_it_says():
    message = decode(TELEMETRY, PRD_TELEMETRY)
    assert isinstance(message, Telemetry)
    assert message.electrical.voltage == VoltagePhases(a=220.5, b=219.8, c=221.0)
    assert message.electrical.power_factor == 0.92
    assert message.thermal == Thermal(
        temperature_zones=[185.0, 190.0, 188.5], setpoint=190.0
    )
    assert message.status.wifi_rssi == -65
    assert (message.v, message.ms, message.seq, message.buffered) == (1, 0, None, False)


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (STATUS, Status(device_id="oven-001", state="offline", boot=3)),
        (COMMAND, Command(device_id="oven-001", id="c1", action="reboot")),
        (
            COMMAND,
            Command(device_id="oven-001", id="c2", action="identify", args={"s": 5}),
        ),
        (CONFIG, Config(device_id="oven-001", rev=7, zones={"28ff": "top"})),
        (
            TELEMETRY,
            Telemetry(
                device_id="oven-001",
                timestamp=1706352600,
                seq=0,
                buffered=True,
                thermal=Thermal(temperature_zones=[1.0, None]),
            ),
        ),
    ],
)
def test_a_message_of_each_kind_round_trips(topic, message):
    assert decode(topic, encode(message)) == message


def test_what_is_not_measured_is_not_on_the_wire():
    message = Telemetry(
        device_id="oven-001",
        timestamp=1706352600,
        electrical=Electrical(voltage=VoltagePhases(a=230.0)),
    )
    assert encode(message) == (
        b'{"device_id":"oven-001","timestamp":1706352600,'
        b'"electrical":{"voltage":{"a":230.0}}}'
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no_payload"),
        (b"{", "not_json"),
        (b"\x00", "not_json"),
        (b"NaN", "not_json"),
        (b"\xff", "not_utf8"),
        (b'{"device_id":"\xff"}', "not_utf8"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'{"device_id":"\\ud800"}', "not_json"),
        (b'{"v":1,"v":2}', "duplicate"),
        (b"[" * 4000, "too_deep"),
        (b" " * 4097, "too_large"),
        (b"null", "type"),
        (b"[]", "type"),
        (b"1", "type"),
        (b"{}", "missing"),
        (_telemetry(status={}), "empty"),
        (_telemetry(thermal={"temperature_zones": [None]}, status={}), "empty"),
        (_telemetry(timestamp="1706352600"), "type"),
        (_telemetry(timestamp=1706352600.5), "type"),
        (_telemetry(timestamp=True), "type"),
        (_telemetry(timestamp=1577836799), "range"),
        (_telemetry(timestamp=4102444801), "range"),
        (_telemetry(ms=1000), "range"),
        (_telemetry(seq=-1), "range"),
        (_telemetry(seq=2**32), "range"),
        (_telemetry(device_id="oven-002"), "device_mismatch"),
        (_telemetry(v=2), "unsupported_version"),
        (_telemetry(v=2, electrical="another shape"), "unsupported_version"),
        (_telemetry(status={"operational_state": "läuft"}), "charset"),
        (_telemetry(status={"operational_state": "a\nb"}), "charset"),
        (_telemetry(status={"operational_state": "x" * 65}), "range"),
        (_telemetry(status={"fault_codes": ["\u0007"]}), "charset"),
        (b'{"status":NaN}', "not_json"),
        (b'{"thermal":{"setpoint":NaN}}', "not_json"),
        (b'{"thermal":{"setpoint":-Infinity}}', "not_json"),
    ],
)
def test_a_payload_is_refused_with_its_reason(payload, reason):
    assert _reason(TELEMETRY, payload) == reason


@pytest.mark.parametrize(
    ("members", "path", "reason"),
    [
        (
            {"electrical": {"voltage": {"a": 1001}}},
            "$.electrical.voltage.a",
            "range",
        ),
        (
            {"electrical": {"voltage": {"a": "230"}}},
            "$.electrical.voltage.a",
            "type",
        ),
        ({"electrical": None, "thermal": 5}, "$.thermal", "type"),
        (
            {"thermal": {"temperature_zones": [20, 1801]}},
            "$.thermal.temperature_zones[1]",
            "range",
        ),
        ({"thermal": {"setpoint": 1801}}, "$.thermal.setpoint", "range"),
        (
            {"status": {"operational_state": "läuft"}},
            "$.status.operational_state",
            "charset",
        ),
        ({"status": {"fault_codes": ["\u0007"]}}, "$.status.fault_codes[0]", "charset"),
    ],
)
def test_a_wrong_reading_is_dropped_and_named_and_the_others_are_kept(
    members, path, reason
):
    members = {"values": {"humidity": 55.5}} | members
    message, dropped = decode_with_dropped(TELEMETRY, _telemetry(**members))
    assert dropped == (Dropped(path, reason),)
    assert message.values == {"humidity": 55.5}
    assert decode(TELEMETRY, encode(message)) == message


def test_the_work_for_one_payload_is_bounded_by_its_size():
    wrong = ",".join(f'"{name}":{{"v":[0]}}' for name in ("values", "counters"))
    many = ",".join(f'"n{n}":"x"' for n in range(350))
    payload = (
        b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1},'
        b'"contacts":{%b},%b}' % (many.encode(), wrong.encode())
    )
    assert len(payload) > 3500
    _, dropped = decode_with_dropped(TELEMETRY, payload)
    assert dropped == (
        Dropped("$.contacts", "range"),
        Dropped("$.values.v", "type"),
        Dropped("$.counters.v", "type"),
    )


def test_a_writer_is_not_forgiven():
    message = Telemetry(
        device_id="oven-001",
        timestamp=1706352600,
        thermal=Thermal(setpoint=20.0, temperature_zones=[-127.0]),
    )
    with pytest.raises(EncodeError) as caught:
        encode(message)
    assert caught.value.reason == "range"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"ms": 1000}, "$.ms"),
        ({"boot": "1"}, "$.boot"),
        ({"timestamp": "x"}, "$.timestamp"),
        ({"device_id": "oven-002"}, "$.device_id"),
    ],
)
def test_an_error_says_where(members, path):
    with pytest.raises(InvalidPayload) as caught:
        decode(TELEMETRY, _telemetry(**members))
    assert caught.value.path == path


def test_an_error_does_not_show_the_payload():
    with pytest.raises(DecodeError) as caught:
        decode(CONFIG, b'{"device_id":"oven-001","mqtt_broker":"S3cret\\u00e9"}')
    assert "S3cret" not in str(caught.value)


def test_fields_of_a_newer_writer_are_ignored():
    payload = _telemetry(humidity=3, status={"x": 1, "wifi_rssi": -5})
    message = decode(TELEMETRY, payload)
    assert unknown_fields(TELEMETRY, payload) == ("$.status.x", "$.humidity")
    assert message.status == Health(wifi_rssi=-5)


def test_a_topic_of_another_grammar_is_refused_first():
    with pytest.raises(ValueError, match="four levels") as caught:
        decode("sensors/oven-001/telemetry", b"")
    assert caught.value.reason == "wrong_levels"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Telemetry(device_id="oven-001", timestamp=1706352600), "empty"),
        (Status(device_id="oven", state="online"), "bad_device_id"),
        (Status(device_id="Oven-001", state="online"), "bad_device_id"),
        (Status(device_id="oven-001", state="ü"), "charset"),
        (Status(device_id="oven-001", state="online", timestamp=1), "range"),
        (
            Telemetry(
                device_id="oven-001",
                timestamp=1706352600,
                thermal=Thermal(setpoint=math.nan),
                status=Health(uptime_seconds=1),
            ),
            "not_finite",
        ),
    ],
)
def test_a_message_that_breaks_the_contract_cannot_be_encoded(message, reason):
    with pytest.raises(EncodeError) as caught:
        encode(message)
    assert caught.value.reason == reason


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_message_or_a_decode_error(payload):
    reasons = set()
    for topic in (TELEMETRY, STATUS, CONFIG, COMMAND):
        try:
            decode(topic, payload)
        except DecodeError as fault:
            reasons.add(fault.reason)
    documented = MalformedPayload.__doc__ + InvalidPayload.__doc__
    assert {reason for reason in reasons if f"``{reason}``" not in documented} == set()


@given(st.data())
def test_a_mutated_message_is_a_message_or_a_decode_error(data):
    payload = bytearray(PRD_TELEMETRY)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    try:
        message = decode(TELEMETRY, bytes(payload))
    except DecodeError:
        return
    assert decode(TELEMETRY, encode(message)) == message


@pytest.mark.parametrize("digits", [400, 401, 4000])
@pytest.mark.parametrize("read", [decode, models.decode])
def test_a_host_that_forbids_long_integers_changes_no_verdict(digits, read):
    number = b"9" * digits
    known = b'{"device_id":"oven-001","timestamp":%b}' % number
    unknown = _telemetry()[:-1] + b',"zz":%b}' % number
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(InvalidPayload) as caught:
            read(TELEMETRY, known)
        assert caught.value.reason == "range"
        assert read(TELEMETRY, unknown).status.uptime_seconds == 1
    finally:
        sys.set_int_max_str_digits(before)


def test_the_size_limit_is_that_of_the_contract():
    padding = limits.PAYLOAD_BYTES_MAX - len(_telemetry())
    assert decode(TELEMETRY, _telemetry() + b" " * padding)
    assert _reason(TELEMETRY, _telemetry() + b" " * (padding + 1)) == "too_large"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))]
)
@pytest.mark.parametrize(
    "refuse",
    [
        lambda: decode(TELEMETRY, b"{}"),
        lambda: decode(TELEMETRY, b"{"),
        lambda: decode("sensors/x", b"{}"),
        lambda: encode(Telemetry(device_id="oven-001", timestamp=1706352600)),
    ],
)
def test_an_error_outlives_a_process_pool(refuse, duplicate):
    with pytest.raises(EgizError) as caught:
        refuse()
    again = duplicate(caught.value)
    assert type(again) is type(caught.value)
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))


def test_arguments_that_no_json_can_be_are_an_error_of_the_contract():
    within_itself = {}
    within_itself["a"] = within_itself
    for arguments in (within_itself, {"a": 10**5000}):
        command = Command(device_id="oven-001", id="1", action="x", args=arguments)
        with pytest.raises(EncodeError):
            encode(command)


@pytest.mark.parametrize("topic", [b"sensors/factory/oven-001/telemetry", 42])
def test_a_topic_that_is_no_text_is_a_type_error_that_says_so(topic):
    with pytest.raises(TypeError, match="a topic is a text"):
        parse_topic(topic)
