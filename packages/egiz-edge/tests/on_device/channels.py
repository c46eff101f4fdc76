"""Values, counters, contacts and their declaration, written without floats."""

import json

from egiz_edge import channels, payloads
from egiz_edge.payloads import Window

_MAX = 32  # as limits.py has it: in the bundle, only the number is left


def test_other_quantities_are_written_with_every_digit_and_null_is_not_read():
    others = [
        channels.values((("humidity", 825, 1), ("level", -7, 2), ("ph", None, 2))),
        channels.counters((("pieces", 9007199254740991), ("rejects", None))),
        channels.contacts((("door", True), ("leak", False), ("smoke", None))),
    ]
    named = payloads.head("cold-room-001", 1733299200123, 7, 3)
    payload = payloads.telemetry(named, Window(), None, [], others)
    assert b'"values":{"humidity":82.5,"level":-0.07,"ph":null}' in payload
    assert b'"counters":{"pieces":9007199254740991,"rejects":null}' in payload
    assert b'"contacts":{"door":true,"leak":false,"smoke":null}' in payload
    assert json.loads(payload)["contacts"] == {"door": 1, "leak": 0, "smoke": None}


def test_as_many_are_written_as_the_contract_allows():
    readings = [("v" + str(number), number, 0) for number in range(_MAX + 1)]
    written = json.loads("{" + channels.values(readings) + "}")
    assert len(written["values"]) == _MAX


def test_a_birth_declares_what_each_one_is():
    declared = (("humidity", "humidity", None), ("pieces", 'cake"s', "{cake}"))
    members = [channels.channels(declared)]
    birth = json.loads(payloads.status("oven-001", "online", 3, members))
    assert birth["channels"] == {
        "humidity": {"quantity": "humidity"},
        "pieces": {"quantity": 'cake"s', "unit": "{cake}"},
    }


def _refusal(name):
    try:
        return channels.channels(((name, "humidity", None),))
    except ValueError as error:
        return str(error)


def test_a_name_that_readers_would_leave_out_is_refused_at_the_birth():
    for name in ("Humidity", "", "2nd", "a-b", "x" * 49):
        assert _refusal(name) == "no name of a channel: " + name
