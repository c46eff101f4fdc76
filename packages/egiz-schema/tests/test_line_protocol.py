"""What lines say: an independent parser reads the point; quick and exact agree."""

import json

import pytest
from egiz_schema import (
    decode,
    encode,
    influx,
    line_protocol,
    parse_topic,
    testing,
    vectors,
    wire,
)
from egiz_schema.errors import EncodeError, InvalidPayload
from egiz_schema.topics import KINDS
from hypothesis import given, settings
from line_protocol_parser import parse_line

TOPIC = parse_topic("sensors/factory/heat-pump-01/telemetry")
RECEIVED_MS = 1706352600777


def _said(line):
    """What a line says, types included."""
    read = parse_line(line.decode())
    fields = {name: (type(value), value) for name, value in read["fields"].items()}
    return read | {"fields": fields}


def _of_point(point):
    """What a point says, in the words of the parser."""
    return {
        "measurement": point.kind,
        "tags": {
            "facility": point.facility,
            "device_type": point.device_type,
            "device_id": point.device_id,
        },
        "fields": {name: (type(v), v) for name, v in point.fields.items()},
        "time": point.time_ms,
    }


def _check(topic, payload):
    message = decode(topic, payload)
    point = influx.to_point(topic, message, RECEIVED_MS)
    assert _said(influx.to_line(point)) == _of_point(point)
    for _ in ("cold", "warm"):
        again, line = line_protocol.decode_line(topic, payload, RECEIVED_MS)
        assert again == message
        assert _said(line) == _of_point(point)


def _telemetry(**members):
    document = {"device_id": "heat-pump-01", "timestamp": 1706352600} | members
    return json.dumps(document).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_has_the_line_that_says_its_point(kind):
    @settings(max_examples=300)
    @given(testing.topics_and_messages(kind))
    def check(received):
        topic, message = received
        payload = encode(message)
        fields = influx.to_point(topic, message, RECEIVED_MS).fields
        if fields and not any("\\" in name for name in fields):
            _check(topic, payload)
        else:  # what line protocol cannot carry
            with pytest.raises(EncodeError):
                line_protocol.decode_line(topic, payload, RECEIVED_MS)

    check()


@pytest.mark.parametrize("kind", ["telemetry", "status"])
def test_every_vector_has_the_line_that_says_its_point(kind):
    _, loaded = vectors.load(kind)
    points = [vector for vector in loaded if "point" in vector]
    assert len(points) >= 15
    for vector in points:
        topic, payload = vectors.topic_of(vector), vectors.payload_of(vector)
        if vector["point"]["fields"]:
            _check(topic, payload)
            continue
        # It holds only what this reader does not know.
        with pytest.raises(EncodeError) as refused:
            line_protocol.decode_line(topic, payload, RECEIVED_MS)
        assert refused.value.reason == "empty"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Of one shape each: only digits, signs and points differ.
        (
            {"seq": 3, "thermal": {"setpoint": 185}},
            {"seq": 4, "thermal": {"setpoint": -18.5}},
        ),
        (
            {"seq": 1, "ms": 0, "boot": 1, "thermal": {"setpoint": 1}},
            {"seq": 4294967295, "ms": 999, "boot": 0, "thermal": {"setpoint": 0.5}},
        ),
        (
            {"seq": 1, "boot": 1, "thermal": {"temperature_zones": [1.5, None, 3]}},
            {"seq": 2, "boot": 1, "thermal": {"temperature_zones": [-7, None, 0.25]}},
        ),
        (
            {"seq": 1, "boot": 1, "status": {"fault_codes": ["zone_1:crc"]}},
            {"seq": 1, "boot": 1, "status": {"fault_codes": ["zone_7:crc"]}},
        ),
        (
            {"seq": 1, "boot": 1, "thermal": {"setpoint": 1e-7}},
            {"seq": 1, "boot": 1, "thermal": {"setpoint": 1e-9}},
        ),
    ],
)
def test_a_second_message_of_a_shape_has_values_of_its_own(first, second):
    payloads = [_telemetry(**members) for members in (first, second)]
    for payload in payloads:
        _check(TOPIC, payload)
    shapes = {wire.shape(payload) for payload in payloads}
    assert len(shapes) == 1
    assert line_protocol.templates["telemetry", shapes.pop()] is not None


def test_a_text_with_a_comma_is_one_value():
    status = {"operational_state": "cooling, slow=1 ", "fault_codes": ["a,b", "c"]}
    _check(TOPIC, _telemetry(seq=1, boot=2, status=status))


def test_what_the_contract_refuses_has_no_line():
    good = _telemetry(seq=1, boot=1, thermal={"setpoint": 185})
    line_protocol.decode_line(TOPIC, good, RECEIVED_MS)
    with pytest.raises(InvalidPayload) as refused:
        line_protocol.decode_line(TOPIC, good.replace(b"185", b"99185"), RECEIVED_MS)
    assert refused.value.reason == "range"


def test_a_flood_of_shapes_does_not_grow_the_process(monkeypatch):
    monkeypatch.setattr(line_protocol, "_TEMPLATES_MAX", 10)
    for number in range(100):
        name = "x" + "".join("abcdefghij"[int(digit)] for digit in str(number))
        _check(TOPIC, _telemetry(seq=1, boot=1, thermal={"setpoint": 1, name: 1}))
    assert len(line_protocol.templates) <= 10
