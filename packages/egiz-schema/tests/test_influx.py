"""Messages to points, and points to line protocol.

That an independent parser reads the same point is tested in `test_line_protocol`, of
every vector and of made-up messages of each kind.
"""

import json
import math

import pytest
from egiz_schema import EgizError, EncodeError, decode, influx, parse_topic

TOPIC = parse_topic("sensors/factory/heat-pump-01/telemetry")
STATUS = parse_topic("sensors/factory/heat-pump-01/status")
RECEIVED_MS = 1706352600777


def _point(topic, **members):
    payload = json.dumps({"device_id": "heat-pump-01"} | members).encode()
    return influx.to_point(topic, decode(topic, payload), RECEIVED_MS)


def test_a_message_is_one_point_with_its_paths_as_fields():
    point = _point(
        TOPIC,
        timestamp=1706352600,
        ms=5,
        seq=3,
        electrical={"voltage": {"a": 230, "c": 229.5}, "energy_wh": {"a": 7}},
        thermal={"temperature_zones": [1.5, None, 3]},
        status={"operational_state": "running", "fault_codes": ["zone_1:crc"]},
    )
    assert point == influx.Point(
        kind="telemetry",
        facility="factory",
        device_type="heat-pump",
        device_id="heat-pump-01",
        time_ms=1706352600005,
        fields={
            "seq": 3,
            "electrical_voltage_a": 230.0,
            "electrical_voltage_c": 229.5,
            "electrical_energy_wh_a": 7,
            "thermal_temperature_zones_0": 1.5,
            "thermal_temperature_zones_2": 3.0,
            "status_operational_state": "running",
            "status_fault_codes_0": "zone_1:crc",
        },
    )


def test_floats_are_floats_however_they_were_written():
    fields = _point(
        TOPIC, timestamp=1706352600, electrical={"voltage": {"a": 230}}
    ).fields
    assert type(fields["electrical_voltage_a"]) is float


def test_a_last_will_has_the_time_of_its_receipt():
    point = _point(STATUS, state="offline", boot=3)
    assert point.time_ms == RECEIVED_MS
    assert point.fields == {"state": "offline", "boot": 3}


def test_a_line_has_types_and_escapes_text():
    point = _point(
        TOPIC,
        timestamp=1706352600,
        buffered=True,
        electrical={"voltage": {"a": 230}, "energy_wh": {"a": 7}},
        status={"operational_state": 'say "hi" \\ there, you=me'},
    )
    assert influx.to_line(point) == (
        b"telemetry,device_id=heat-pump-01,device_type=heat-pump,facility=factory "
        b"buffered=true,electrical_voltage_a=230.0,electrical_energy_wh_a=7i,"
        b'status_operational_state="say \\"hi\\" \\\\ there, you=me" 1706352600000'
    )


def test_names_that_people_chose_are_escaped():
    topic = parse_topic("sensors/factory/oven-001/command")
    args = {"to = , x": 1, "y": True}
    payload = {"device_id": "oven-001", "id": "1", "action": "set", "args": args}
    message = decode(topic, json.dumps(payload).encode())
    line = influx.to_line(influx.to_point(topic, message, RECEIVED_MS))
    assert line == (
        b"command,device_id=oven-001,device_type=oven,facility=factory "
        b'id="1",action="set",args_to\\ \\=\\ \\,\\ x=1.0,args_y=true'
        b" 1706352600777"
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "empty"),
        ({"x": math.nan}, "not_finite"),
        ({"x": -math.inf}, "not_finite"),
        ({"x": 2**63}, "range"),
        ({"x": "a\nb"}, "charset"),
        ({"x": "\x85"}, "charset"),
        ({"x": "\ud800"}, "charset"),
        ({"ü": 1}, "charset"),
        ({"": 1}, "charset"),
        ({"a\nb": 1}, "charset"),
        ({"a\\": 1}, "charset"),
        ({"a\\,b": 1}, "charset"),
    ],
)
def test_what_line_protocol_cannot_carry_is_refused(fields, reason):
    point = influx.Point("status", "factory", "oven", "oven-001", 1, fields)
    with pytest.raises(EncodeError) as caught:
        influx.to_line(point)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "tags",
    [
        ("factory", "oven", "oven 001"),
        ("fac,tory", "oven", "oven-001"),
        ("factory", "mixer", "oven-001"),
        ("factory", "", ""),
    ],
)
def test_tags_that_make_no_topic_are_refused(tags):
    with pytest.raises(EgizError):
        influx.to_line(influx.Point("status", *tags, 1, {"x": 1}))


def test_a_message_that_is_written_twice_is_the_same_point():
    first, second = (
        _point(TOPIC, timestamp=1706352600, thermal={"setpoint": 1}) for _ in range(2)
    )
    assert influx.to_line(first) == influx.to_line(second)
