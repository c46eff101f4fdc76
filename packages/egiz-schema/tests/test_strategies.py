"""What `egiz_schema.testing` draws is valid, and not the same again and again."""

import pytest
from egiz_schema import EgizError, Telemetry, decode, encode, testing
from egiz_schema.topics import KINDS
from egiz_schema.vectors import mismatches
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

_quick = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_round_trips_on_its_topic(kind):
    @_quick
    @given(testing.topics_and_messages(kind))
    def check(received):
        topic, message = received
        assert topic.kind == kind
        assert decode(str(topic), encode(message)) == message

    check()


@_quick
@given(testing.payloads(), st.sampled_from(KINDS))
def test_spoiled_payloads_raise_nothing_but_the_errors_of_the_contract(payload, kind):
    try:
        decode(f"sensors/factory/oven-001/{kind}", payload)
    except EgizError as fault:
        assert fault.reason  # noqa: PT017  # both ends are right


@pytest.mark.parametrize(
    "is_so",
    [
        lambda m: m.electrical is not None and m.electrical.voltage is not None,
        lambda m: m.thermal is not None and len(m.thermal.temperature_zones or []) > 2,
        lambda m: m.buffered,
        lambda m: m.status is not None and m.status.fault_codes != [],
        lambda m: m.seq is not None and m.seq > 2**31,
    ],
)
def test_every_corner_is_reached(is_so):
    found = find(testing.messages("telemetry"), is_so)
    assert isinstance(found, Telemetry)


def test_a_reader_that_takes_everything_is_found_out():
    """The vectors can fail: each that must be rejected is told."""
    told = list(mismatches(lambda _topic, _payload: None))
    assert len(told) > 120
    assert {mismatch.said for mismatch in told} == {"accept"}
