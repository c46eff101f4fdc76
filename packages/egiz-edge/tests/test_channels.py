"""What the firmware writes of other quantities is what the contract reads."""

import egiz_schema as egiz
from egiz_edge import channels, payloads
from egiz_edge.payloads import Window

DEVICE = "cold-room-001"


def _topic(kind):
    return egiz.Topic("factory", DEVICE, kind)


def test_the_contract_reads_each_value_and_drops_none():
    others = [
        channels.values((("humidity", 825, 1), ("level", -7, 2), ("ph", None, 2))),
        channels.counters((("pieces", egiz.limits.INTEGER_MAX), ("rejects", None))),
        channels.contacts((("door", True), ("leak", False), ("smoke", None))),
    ]
    named = payloads.head(DEVICE, 1733299200123, 7, 3)
    payload = payloads.telemetry(named, Window(), None, [], others)
    message, dropped = egiz.decode_with_dropped(_topic("telemetry"), payload)
    assert dropped == ()
    assert message.values == {"humidity": 82.5, "level": -0.07, "ph": None}
    assert message.counters == {"pieces": egiz.limits.INTEGER_MAX, "rejects": None}
    assert message.contacts == {"door": True, "leak": False, "smoke": None}


def test_the_contract_reads_what_a_birth_declares():
    declared = (("humidity", "humidity", None), ("pieces", "pieces", "{cake}"))
    members = [channels.channels(declared)]
    payload = payloads.status(DEVICE, "online", 3, members)
    message, dropped = egiz.decode_with_dropped(_topic("status"), payload)
    assert dropped == ()
    assert message.channels == {
        "humidity": egiz.Channel(quantity="humidity"),
        "pieces": egiz.Channel(quantity="pieces", unit="{cake}"),
    }
