"""`egiz-sim check` of a device that sent too little: none passes of nothing."""

import time

import pytest
from egiz_schema import Status, Telemetry, encode
from egiz_sim.conformance.evidence import Evidence, Seen
from egiz_sim.conformance.rules import RULES, judged

NOW = 1_795_771_488


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


def _reading():
    telemetry = Telemetry(
        device_id="oven-1", timestamp=NOW, boot=1, seq=0, values={"humidity": 20.0}
    )
    return _seen("telemetry", telemetry)


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
