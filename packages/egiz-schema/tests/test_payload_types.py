"""A payload is bytes in any container, and a text is refused with the fix."""

import pytest
from egiz_schema import MalformedPayload, decode, line_protocol, models, parse_topic
from egiz_schema.codec import unknown_fields

TOPIC = parse_topic("sensors/factory/oven-001/telemetry")
PAYLOAD = (
    b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1.5},"zz":1}'
)
READERS = {
    "decode": decode,
    "decode_line": lambda topic, payload: line_protocol.decode_line(topic, payload, 0),
    "models.decode": models.decode,
    "unknown_fields": unknown_fields,
}
reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@reader
@pytest.mark.parametrize(
    "wrap",
    [
        bytearray,
        memoryview,
        lambda payload: memoryview(bytearray(payload)),
        lambda payload: memoryview(bytes(x for b in payload for x in (b, 0)))[::2],
    ],
)
def test_any_container_of_bytes_gives_the_same_message(read, wrap):
    assert read(TOPIC, wrap(PAYLOAD)) == read(TOPIC, PAYLOAD)


@reader
@pytest.mark.parametrize("given", [PAYLOAD.decode(), None, 5, [1]])
def test_what_is_no_bytes_is_a_type_error_with_the_fix(read, given):
    with pytest.raises(TypeError, match="bytes, bytearray or memoryview"):
        read(TOPIC, given)


@reader
@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_a_large_container_is_refused_before_it_is_copied(read, wrap):
    with pytest.raises(MalformedPayload) as refused:
        read(TOPIC, wrap(bytes(5_000_000)))
    assert refused.value.reason == "too_large"


def test_a_container_that_is_changed_later_does_not_change_what_is_known():
    payload = bytearray(PAYLOAD)
    before = line_protocol.decode_line(TOPIC, payload, 0)
    payload[:] = b"x" * len(payload)
    assert line_protocol.decode_line(TOPIC, PAYLOAD, 0) == before
