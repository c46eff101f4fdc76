"""What a payload becomes never depends on what came before."""

import msgspec
import pytest
from egiz_schema import codec, decode, influx, line_protocol, parse_topic, wire
from rig.payload_pairs import disagreements

TOPIC = parse_topic("sensors/factory/oven-001/telemetry")
HONEST = (
    b'{"device_id":"oven-001","timestamp":1706352600,'
    b'"electrical":{"voltage":{"a":220.5,"b":219.8}},"thermal":{"setpoint":190.0}}'
)
PRD = HONEST[:-1] + b',"buffered":true,"status":{"time_synced":true}}'


@pytest.fixture(autouse=True)
def _nothing_is_known():
    wire.plain_shapes.clear()
    line_protocol.templates.clear()


def _fields(line):
    series, fields, time = line.rsplit(b" ", 2)
    return series, sorted(fields.split(b",")), time


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (b'"electrical"', b'"electrical2"'),
        (b'"thermal"', b'"thermal.1"'),
        (b'"b"', b'"b2"'),
        (b'"buffered"', b'"2buffered"'),
        (b'"time_synced"', b'"time-_synced"'),
        (b'"setpoint"', b'"set+point"'),
    ],
)
@pytest.mark.parametrize("is_honest_first", [True, False])
def test_a_name_with_a_digit_is_not_the_name_without(name, other, is_honest_first):
    payloads = [PRD, PRD.replace(name, other)]
    assert payloads[0] != payloads[1]
    if not is_honest_first:
        decode(TOPIC, payloads[0])  # so that the shape is known, and no template
        payloads.reverse()
    for payload in (*payloads, *payloads):
        message, line = line_protocol.decode_line(TOPIC, payload, 0)
        exact = influx.to_line(influx.to_point(TOPIC, message, 0))
        assert _fields(line) == _fields(exact)


@pytest.mark.parametrize("missing", [b'"timestamp"', b'"sensors"', b'"boot"'])
def test_a_status_without_a_member_of_its_shape_has_its_own_line(missing):
    topic = parse_topic("sensors/factory/oven-001/status")
    whole = (
        b'{"device_id":"oven-001","state":"online","timestamp":1706352600,'
        b'"boot":3,"sensors":["a"]}'
    )
    line_protocol.decode_line(topic, whole, 7)
    payload = whole.replace(missing, missing[:-1] + b'9"')
    message, line = line_protocol.decode_line(topic, payload, 7)
    exact = influx.to_line(influx.to_point(topic, message, 7))
    assert _fields(line) == _fields(exact)


def test_an_honest_device_is_written_by_its_template_after_an_odd_one():
    odd = HONEST.replace(b'"b"', b'"b2"')
    decode(TOPIC, HONEST)
    line_protocol.decode_line(TOPIC, odd, 0)
    assert not line_protocol.templates
    line_protocol.decode_line(TOPIC, HONEST, 0)
    line_protocol.decode_line(TOPIC, odd, 0)
    assert [template is not None for template in line_protocol.templates.values()] == [
        True
    ]


def test_pairs_of_payloads_do_not_change_each_others_line():
    assert next(disagreements(4000, seed=12), None) is None


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_million_pairs_do_not_change_each_others_line():
    assert next(disagreements(1_000_000, seed=1000), None) is None


def test_no_member_of_the_contract_has_a_byte_that_a_shape_leaves_out():
    seen = 0
    for type_ in codec.TYPES.values():
        for name in _names(msgspec.inspect.type_info(type_)):
            assert not set(name.encode()) & set(wire.VARYING), name
            seen += 1
    assert seen > 60


def _names(info):
    if isinstance(info, msgspec.inspect.StructType):
        for field in info.fields:
            yield field.encode_name
            yield from _names(field.type)
    for inner in getattr(info, "types", ()):
        yield from _names(inner)
