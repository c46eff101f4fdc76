"""Messages to points, and points to line protocol."""

import json

from egiz_schema import decode, influx, parse_topic

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


def test_a_line_tells_types_and_escapes_text():
    point = _point(
        TOPIC,
        timestamp=1706352600,
        buffered=True,
        electrical={"voltage": {"a": 230}, "energy_wh": {"a": 7}},
        status={"operational_state": 'say "hi" \\ there, you=me'},
    )
    assert influx.to_line(point) == (
        "telemetry,device_id=heat-pump-01,device_type=heat-pump,facility=factory "
        "buffered=true,electrical_voltage_a=230.0,electrical_energy_wh_a=7i,"
        'status_operational_state="say \\"hi\\" \\\\ there, you=me" 1706352600000'
    )


def test_a_message_that_is_written_twice_is_the_same_point():
    first, second = (
        _point(TOPIC, timestamp=1706352600, thermal={"setpoint": 1}) for _ in range(2)
    )
    assert influx.to_line(first) == influx.to_line(second)
