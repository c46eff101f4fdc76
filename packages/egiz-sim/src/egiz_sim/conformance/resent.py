"""Which messages of a connection a device had given to an earlier one.

A device that has no PUBACK for a message sends it again when it is back: that one may
come before the birth. mqtt.js does so without DUP, and before it says that it is
connected; and what it gave to a connection that was dead already, it sends then for the
first time.
"""

from collections.abc import Sequence

from egiz_schema import Status, Telemetry

from egiz_sim.conformance import frames
from egiz_sim.conformance.evidence import Evidence, Reading, seen
from egiz_sim.conformance.proxy import Session


def is_of_before(evidence: Evidence, session: Session, sent: frames.Publish) -> bool:
    """Whether a message was given to an earlier connection, and may have no PUBACK.

    Args:
        evidence: all of it.
        session: a connection.
        sent: a message of it.

    Raises NotTried.
    """
    before = evidence.before(session)
    if sent.is_dup or not before or sent.qos != 1:
        return sent.is_dup
    message = seen(sent, 0.0, session.begun_epoch).message
    if isinstance(message, Status) and message.state != "offline":
        return False  # it is a birth, or has to come after one
    for each in reversed(before):
        if (sent.topic, sent.payload) in each.given:
            at = each.given[sent.topic, sent.payload]
            return at is None or not each.has_got(at)
    return (
        isinstance(message, Telemetry)
        and sent.topic == evidence.topic("telemetry")
        and message.boot in _boots(before)
        and _was_given_to_a_dead_one(evidence, session, sent)
    )


def _boots(sessions: Sequence[Session]) -> set[int | None]:
    """A device that has restarted has given nothing to a connection before that."""
    found = [seen(each, 0.0, 0.0).message for one in sessions for each in one.sent]
    return {message.boot for message in found if message is not None}


def _was_given_to_a_dead_one(
    evidence: Evidence, session: Session, sent: frames.Publish
) -> bool:
    """Whether it was measured when the device could not know of the end."""
    found = seen(sent, 0.0, session.begun_epoch)
    assert isinstance(found.message, Telemetry)
    if found.message.buffered:
        return False
    reading = Reading(found, found.message)
    # A device may be back at once, within the margin of `is_after`.
    is_new = evidence.epoch_of(reading) >= session.begun_epoch
    return not is_new and not evidence.is_after(reading, evidence.end_before(session))


def own_statuses(evidence: Evidence, session: Session) -> list[Status]:
    """Statuses of a connection that was given none of them before; raises NotTried."""
    before = evidence.before(session)
    found = [
        seen(each, 0.0, session.begun_epoch).message
        for each in session.sent
        if not each.is_dup
        and not any((each.topic, each.payload) in one.given for one in before)
    ]
    return [
        each for each in found if isinstance(each, Status) and each.state != "offline"
    ]
