"""The words for a refused connection, beside an independent reader of MQTT 5."""

import pytest
from egiz_cli import explain_refusal
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode


def _codes_of_mqtt_5():
    known = ReasonCode(PacketTypes.CONNACK).names
    return [code for code, names in known.items() if _is_of_connack(names)]


def _is_of_connack(names):
    return any(PacketTypes.CONNACK in packets for packets in names.values())


def test_every_refusal_of_mqtt_5_has_words():
    refusals = [code for code in _codes_of_mqtt_5() if code]
    assert len(refusals) == 20  # of 21: paho lacks 0x99
    for code in refusals:
        assert not explain_refusal(code).startswith("code "), hex(code)


@pytest.mark.parametrize(
    ("old", "new"), [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)]
)
def test_both_versions_say_the_same(old, new):
    assert explain_refusal(old) == explain_refusal(new)


@pytest.mark.parametrize("code", [6, 0x7F, 0xFF])
def test_a_code_of_no_version_is_shown(code):
    assert explain_refusal(code) == f"code 0x{code:02x}"
