"""What `egiz_schema.testing` draws is valid, and not the same again and again."""

import pytest
from egiz_schema import EgizError, decode, encode, testing
from egiz_schema.topics import KINDS
from egiz_schema.vectors import mismatches
from hypothesis import HealthCheck, given, settings
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


_CORNERS = {
    "phases": lambda m: m.electrical is not None and m.electrical.voltage is not None,
    "zones": lambda m: (
        m.thermal is not None and len(m.thermal.temperature_zones or []) > 2
    ),
    "history": lambda m: m.buffered,
    "faults": lambda m: m.status is not None and m.status.fault_codes != [],
    "a long run": lambda m: m.seq is not None and m.seq > 2**31,
    "nothing at all": lambda m: m.seq is m.boot is m.thermal is m.electrical is None,
}


def test_every_corner_is_reached_soon():
    reached = set()

    @settings(_quick, max_examples=600, derandomize=True)
    @given(testing.messages("telemetry"))
    def look(message):
        reached.update(name for name, is_so in _CORNERS.items() if is_so(message))

    look()
    assert reached == set(_CORNERS)


def test_a_reader_that_accepts_everything_is_found_out():
    """The vectors can fail: each that must be rejected is found."""
    found = list(mismatches(lambda _topic, _payload: (None, ())))
    assert len(found) > 120
    assert {mismatch.said for mismatch in found} == {"accept"}
