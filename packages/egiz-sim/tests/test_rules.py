"""Rules of `egiz-sim check`, judged of what was seen at given times."""

import time
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest
from egiz_schema import (
    AppliedConfig,
    Health,
    RefusedConfig,
    Status,
    Telemetry,
    encode,
)
from egiz_sim.conformance import frames, proxy
from egiz_sim.conformance.evidence import Evidence, Order, Outage, Seen
from egiz_sim.conformance.frames import Publish
from egiz_sim.conformance.proxy import Session
from egiz_sim.conformance.rules import RULES, judged

PINGREQ = 12
NOW = 1_795_771_488


def _judged(rule_id, **found):
    (rule,) = [rule for rule in RULES if rule.id == rule_id]
    return judged(rule, Evidence("factory", "oven-1", **found)).verdict


def _seen(kind, message):
    topic = f"sensors/factory/oven-1/{kind}"
    return Seen(time.monotonic(), NOW, topic, encode(message), 1, False, message)


def _birth():
    status = Status(
        device_id="oven-1",
        state="online",
        boot=1,
        timestamp=NOW,
        schema="1",
        firmware_version="1.0.0",
    )
    return _seen("status", status)


def _reading(seq=0, timestamp=NOW, boot=1, **more):
    telemetry = Telemetry(
        device_id="oven-1",
        timestamp=timestamp,
        boot=boot,
        seq=seq,
        values={"humidity": 20.0},
        **more,
    )
    return _seen("telemetry", telemetry)


def _uptime(seq, boot):
    return _reading(seq, timestamp=7, boot=boot, status=Health(time_synced=False))


def _passed(*seen):
    evidence = Evidence("factory", "oven-1", seen=list(seen))
    return {rule.id for rule in RULES if judged(rule, evidence).verdict == "pass"}


def test_no_rule_passes_of_a_device_that_sent_nothing():
    assert _passed() == set()


def test_no_rule_of_telemetry_passes_of_a_device_that_sent_only_its_birth():
    about_statuses = {"delivery.qos", "topic.own", "birth.fields"}
    about_statuses |= {"payload.valid", "payload.device", "retain.status"}
    assert _passed(_birth()) <= about_statuses


@pytest.mark.parametrize("rule", ["seq.counts", "time.unique"])
def test_no_rule_that_compares_readings_passes_of_a_single_one(rule):
    assert rule not in _passed(_birth(), _reading())


CUT, BACK = 100, 104  # seconds after NOW, and of the monotonic clock
STEPS = range(90 * 5, 110 * 5)  # a reading each 0.2 s


def _verdict(rule_id, *, silent=(), unmarked=()):
    """Of a device whose `seq` is of no use; ranges of steps in which it differs."""
    seen = []
    for step in STEPS:
        is_waiting = CUT <= step / 5 < BACK
        message = Telemetry(
            device_id="oven-1",
            timestamp=NOW + step // 5,
            ms=step % 5 * 200,
            boot=1,
            seq=2 * step,
            buffered=is_waiting and step not in unmarked,
            values={"humidity": 20.0},
        )
        at, topic = BACK if is_waiting else step / 5, "sensors/factory/oven-1/telemetry"
        if step not in silent:
            one = Seen(at, NOW + at, topic, encode(message), 1, False, message)
            seen.append(one)
    session = SimpleNamespace(begun=1.0, unreadable=None, sent=[])
    outage = Outage(CUT, BACK, NOW + BACK)
    return _judged(rule_id, seen=seen, sessions=[session], outage=outage)


def test_what_was_not_measured_before_an_outage_is_no_loss_of_it():
    assert _verdict("outage.kept") == "pass"
    assert _verdict("outage.kept", silent=range(460, 475)) == "pass"
    assert _verdict("outage.kept", silent=range(502, 517)) == "fail"


def test_what_was_given_to_a_connection_that_was_just_cut_need_not_be_marked():
    assert _verdict("outage.marked") == "pass"
    assert _verdict("outage.marked", unmarked=[500]) == "pass"
    assert _verdict("outage.marked", unmarked=[510]) == "fail"


def _publish(seen, is_dup=False, qos=1):
    return Publish(seen.topic, seen.payload, qos, True, is_dup, 1)


def _offline(boot=1):
    return _seen("status", Status(device_id="oven-1", state="offline", boot=boot))


UNACKED, ACKED = _reading(seq=3), _reading(seq=2, timestamp=NOW - 5)
LATE_ACKED = _reading(seq=4, timestamp=NOW - 1)
HISTORY = _reading(seq=5, timestamp=NOW - 60, buffered=True)
CALM = [_reading(seq) for seq in range(3)]
# What the connection before was given -> seconds from its PUBACK to its end, or None.
GIVEN = [
    *((UNACKED, None), (HISTORY, None), (_offline(), None)),
    *((ACKED, 4.0), (LATE_ACKED, 0.5)),
]
FIRSTS = {
    "sent again with DUP": (_publish(UNACKED, is_dup=True), "pass"),
    "sent again without DUP, as mqtt.js does": (_publish(UNACKED), "pass"),
    "given to a connection that was just cut": (_publish(_reading(seq=4)), "pass"),
    "measured in the outage": (_publish(_reading(seq=5, timestamp=NOW + 2)), "fail"),
    "measured since": (_publish(_reading(seq=5, timestamp=NOW + 3)), "fail"),
    "of the outage": (_publish(_reading(seq=6, buffered=True)), "fail"),
    "history that has no PUBACK": (_publish(HISTORY), "pass"),
    "an end that has no PUBACK": (_publish(_offline()), "pass"),
    "another end": (_publish(_offline(boot=2)), "fail"),
    "with a PUBACK": (_publish(ACKED), "fail"),
    "with a PUBACK that may have got lost": (_publish(LATE_ACKED), "pass"),
    "at QoS 0": (_publish(UNACKED, qos=0), "fail"),
    "of another boot": (_publish(_reading(seq=0, boot=2)), "fail"),
    "of another boot, with no clock": (_publish(_uptime(seq=0, boot=2)), "fail"),
}


@pytest.mark.parametrize("first", FIRSTS)
def test_only_a_reading_of_the_connection_before_may_come_before_the_birth(first):
    sent, verdict = FIRSTS[first]
    assert _birth_after(sent, away_s=3) == verdict


def test_a_device_that_is_back_at_once_may_send_no_new_reading_before_its_birth():
    sent = _publish(_reading(seq=5, timestamp=NOW + 1))
    assert _birth_after(sent, away_s=1) == "fail"


def test_a_fault_that_was_found_counts_also_if_the_rest_cannot_be_tried():
    sent = FIRSTS["given to a connection that was just cut"][0]
    # Whether that one is of before, too little telemetry says.
    assert _birth_after(sent, away_s=3, calm=()) == "not tried"
    assert _birth_after(sent, away_s=3, calm=(), is_first_wrong=True) == "fail"


def _birth_after(sent, *, away_s, calm=CALM, is_first_wrong=False):
    """Of a device that sends this before its birth, away after NOW for so long."""
    birth = _publish(_birth())
    first = [birth, *(_publish(each) for each, _ in GIVEN)]
    if is_first_wrong:
        first.reverse()
    given = {(each.topic, each.payload): wait and 11.0 - wait for each, wait in GIVEN}
    sessions = [
        Session(begun=1.0, ended=11.0, heard=10.9, sent=first, given=given),
        Session(begun=11.0 + away_s, begun_epoch=NOW + away_s, sent=[sent, birth]),
    ]
    return _judged("birth.first", seen=list(calm), sessions=sessions)


def test_a_clock_that_is_set_late_makes_no_reading_of_before_a_new_one():
    """More than half of the readings are of the time before."""
    sent = _publish(_reading(seq=9))
    calm = [*(_uptime(seq, boot=1) for seq in range(3)), _reading(seq=8)]
    assert _birth_after(sent, away_s=3, calm=calm) == "pass"
    assert _birth_after(sent, away_s=3, calm=calm[:3]) == "not tried"


def test_the_proxy_knows_what_has_a_puback():
    topic, session = "sensors/factory/oven-1/telemetry", Session()
    session.connect = frames.Connect("oven-1", True, None)
    for number in (1, 2):
        publish = frames.publish(number, topic, b"%d" % number, retain=True)
        session.from_device(*frames.Stream().feed(publish))
    assert session.given == {(topic, b"1"): None, (topic, b"2"): None}
    session.from_broker(*frames.Stream().feed(frames.puback(2)))
    session.from_broker(*frames.Stream().feed(frames.puback(9)))
    assert session.given[topic, b"1"] is None
    assert session.begun is None
    assert time.monotonic() - session.given[topic, b"2"] < 10


HEARD_S = {"never again": None, "soon": 1.0, "long after": 3.0}


@pytest.mark.parametrize("heard", HEARD_S)
def test_a_puback_lacks_only_if_the_device_is_heard_long_after_the_message(
    monkeypatch, heard
):
    """Not if the machine of the check was busy, and saw the end late."""
    session, now = Session(begun=1.0), [10.0]
    session.connect = frames.Connect("oven-1", True, None)
    monkeypatch.setattr(proxy, "monotonic", lambda: now[0])
    command = frames.publish(1, "sensors/factory/oven-1/command", b"{}", retain=False)
    session.from_broker(*frames.Stream().feed(command))
    if HEARD_S[heard]:
        now[0] += HEARD_S[heard]
        session.from_device(frames.Packet(PINGREQ, 0, b""))
    session.ended = 20.0
    evidence = Evidence("factory", "oven-1", sessions=[session])
    (rule,) = [rule for rule in RULES if rule.id == "connect.acknowledges"]
    verdict = "fail" if heard == "long after" else "pass"
    assert judged(rule, evidence).verdict == verdict


# What the broker retains when it is asked at 10, of readings 0 to 20 -> the verdict.
RETAINED = {"the last": (10, "pass"), "one before": (8, "pass"), "older": (7, "fail")}
RETAINED |= {"one after": (13, "pass"), "none": (None, "fail")}


@pytest.mark.parametrize("what", RETAINED)
def test_what_the_broker_retains_is_one_of_the_last_at_that_time(what):
    number, verdict = RETAINED[what]
    assert _retains(number, range(21)) == verdict


def test_a_device_of_which_nothing_had_come_may_have_nothing_retained():
    assert _retains(None, range(11, 21)) == "not tried"


def _retains(number, numbers):
    """The verdict, of readings of these seconds; `number` is retained at 10."""
    came = [replace(_reading(each), at=float(each)) for each in numbers]
    kept = [] if number is None else [replace(_reading(number), at=10.5, is_kept=True)]
    return _judged("retain.telemetry", seen=came, asked=10.5, kept=kept)


def _session(*sent, **more):
    connect = frames.Connect("oven-1", True, None)
    return Session(begun=1.0, connect=connect, sent=list(sent), **more)


def test_a_stranger_at_the_port_of_the_proxy_hides_no_fault():
    stranger = Session(unreadable="the first packet is no CONNECT")
    device = _session(_publish(_birth()))
    assert _judged("will.given", sessions=[device, stranger]) == "fail"
    assert _judged("will.given", sessions=[stranger]) == "not tried"
    device.unreadable = "a packet is too long"
    assert _judged("will.given", sessions=[device]) == "not tried"


ANSWER = Status(device_id="oven-1", state="online", boot=1, timestamp=NOW)


def test_a_status_that_was_retained_before_is_no_birth():
    kept = replace(_birth(), is_kept=True)
    answer = _seen("status", ANSWER)
    bare = _session(_publish(answer))  # its birth lacks schema and firmware
    assert _judged("birth.fields", seen=[kept], sessions=[bare]) == "fail"
    # What came first, without a proxy, may be an answer, which needs neither.
    assert _judged("birth.fields", seen=[replace(answer, is_kept=True)]) == "not tried"


def test_each_connection_needs_a_whole_birth():
    whole, bare = _publish(_birth()), _publish(_seen("status", ANSWER))
    assert _judged("birth.fields", sessions=[_session(whole)]) == "pass"
    sessions = [_session(whole), _session(bare)]
    assert _judged("birth.fields", sessions=sessions) == "fail"
    given = {(bare.topic, bare.payload): None}  # it is sent again, and no birth
    sessions = [_session(whole, given=given), _session(bare, whole)]
    assert _judged("birth.fields", sessions=sessions) == "pass"


def test_a_device_without_clock_and_seq_is_no_error_of_the_check():
    unset = Health(time_synced=False)
    seen = [
        replace(_reading(None, timestamp=0, status=unset), at=float(at), epoch=NOW + at)
        for at in range(90, 110)
    ]
    outage = Outage(CUT, BACK, NOW + BACK)
    for rule in RULES:
        found = {"seen": seen, "outage": outage, "sessions": [_session()]}
        if rule.id.startswith(("outage.", "time.")):
            assert _judged(rule.id, **found) != "fail", rule.id


@pytest.mark.parametrize(
    ("numbers", "verdict"), [((1, 2, 3), "pass"), ((3, 2, 1), "fail")]
)
def test_seq_counts_up_in_the_order_of_arrival(numbers, verdict):
    seen = [_reading(number, timestamp=NOW + number) for number in numbers]
    assert _judged("seq.counts", seen=seen) == verdict


@pytest.mark.parametrize(("refused", "verdict"), [(3, "fail"), (4, "pass")])
def test_a_refusal_is_of_the_config_that_was_sent(refused, verdict):
    orders = {
        f"config.{label}": _refusal(rev, said)
        for label, rev, said in [("malformed", 3, 3), ("other", 4, refused)]
    }
    assert _judged("config.device", orders=orders) == verdict


def _refusal(rev, said):
    """The config of a rev, and a status that says of another that it was refused."""
    config = AppliedConfig(
        rev=1,
        applied=True,
        refused=RefusedConfig(rev=said, crc=said, error="no"),
    )
    answer = _seen("status", msgspec.structs.replace(ANSWER, config=config))
    return Order({"rev": rev}, b"%d" % rev, 0.0, answer)
