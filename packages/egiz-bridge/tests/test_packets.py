import random

import pytest
from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt import packets
from egiz_bridge.mqtt.reader import PacketReader
from egiz_bridge.mqtt.terms import shortfalls

TERMS = packets.Terms(
    keepalive_s=30,
    session_expiry_s=10,
    receive_maximum=10_000,
    maximum_packet_bytes=65536,
)


def _publish(topic: bytes, payload: bytes, packet_id: int = 0, version: int = 5):
    body = len(topic).to_bytes(2, "big") + topic
    body += packet_id.to_bytes(2, "big") if packet_id else b""
    body += b"\x00" if version == packets.MQTT_5 else b""
    body += payload
    flags = 0x32 if packet_id else 0x30
    return bytes([flags]) + _length(len(body)) + body


def _reader(version: int = packets.MQTT_5) -> PacketReader:
    return PacketReader(version, maximum_packet_bytes=100_000)


def _length(number: int) -> bytes:
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)


def test_connect_of_mqtt_5_is_the_bytes_of_the_standard():
    packet = packets.connect(
        packets.MQTT_5,
        "b",
        ("user", "pass"),
        TERMS,
    )
    assert packet == (
        b"\x10\x27\x00\x04MQTT\x05\xc0\x00\x1e"
        b"\x0d\x11\x00\x00\x00\x0a\x21\x27\x10\x27\x00\x01\x00\x00"
        b"\x00\x01b\x00\x04user\x00\x04pass"
    )


def test_connect_of_mqtt_311_has_no_properties_and_keeps_the_session():
    packet = packets.connect(
        packets.MQTT_311,
        "b",
        None,
        TERMS,
    )
    assert packet == b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x1e\x00\x01b"


def test_subscribe_asks_for_retained_messages_of_new_subscriptions_only():
    asked = packets.subscribe(packets.MQTT_5, 1, ["a/#"])
    assert asked == b"\x82\x09\x00\x01\x00\x00\x03a/#\x11"
    asked = packets.subscribe(packets.MQTT_311, 1, ["a/#", "b"])
    assert asked == b"\x82\x0c\x00\x01\x00\x03a/#\x01\x00\x01b\x01"


def test_unsubscribe_names_every_filter():
    asked = packets.unsubscribe(packets.MQTT_5, 2, ["a/#", "b"])
    assert asked == b"\xa2\x0b\x00\x02\x00\x00\x03a/#\x00\x01b"
    asked = packets.unsubscribe(packets.MQTT_311, 2, ["b"])
    assert asked == b"\xa2\x05\x00\x02\x00\x01b"


def test_pubacks_are_in_the_order_given():
    assert (
        packets.pubacks([1, 65535, 258])
        == b"\x40\x02\x00\x01\x40\x02\xff\xff\x40\x02\x01\x02"
    )


@pytest.mark.parametrize("version", [packets.MQTT_311, packets.MQTT_5])
def test_packets_survive_any_cut_of_the_stream(version):
    payloads = [b"", b"x", b"y" * 127, b"z" * 128, b"w" * 20_000]
    stream = b"".join(
        _publish(b"t/%d" % number, payload, number, version)
        for number, payload in enumerate(payloads)
    )
    rng = random.Random(1)
    for _ in range(50):
        cuts = sorted(rng.sample(range(len(stream)), 5))
        reader = _reader(version)
        messages = []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            messages += reader.feed(stream[start:end])[0]
        assert [(m.topic, m.payload, m.packet_id) for m in messages] == [
            (b"t/%d" % number, payload, number)
            for number, payload in enumerate(payloads)
        ]


def test_byte_by_byte_gives_the_same_as_at_once():
    stream = _publish(b"a", b"b" * 300, 7) + packets.pubacks([7])
    at_once = _reader().feed(stream)
    reader = _reader()
    fed = [reader.feed(bytes([byte])) for byte in stream]
    assert [m for messages, _ in fed for m in messages] == at_once[0] != []
    assert [c for _, others in fed for c in others] == at_once[1] != []


def test_properties_of_a_publish_are_skipped():
    topic_and_id = b"\x00\x01t\x00\x09"
    user_property = b"\x26\x00\x01k\x00\x01v"
    body = topic_and_id + bytes([len(user_property)]) + user_property + b"payload"
    packet = bytes([0x33, len(body)]) + body
    (message,), _ = _reader().feed(packet)
    assert message == packets.Publish(b"t", b"payload", 9, flags=3)
    assert message.retain


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x02t", b"\x00\x01t\x00"])
def test_a_publish_that_is_shorter_than_its_parts_is_an_error(body):
    # What follows in the stream must not be read as its parts.
    packet = bytes([0x32, len(body)]) + body + packets.PINGREQ_PACKET * 3
    with pytest.raises(MqttError, match="without all its parts"):
        _reader().feed(packet)


def test_a_malformed_length_is_an_error_not_a_wait_for_ever():
    with pytest.raises(MqttError, match="malformed length"):
        _reader().feed(b"\x30\xff\xff\xff\xff\x01")


def test_a_packet_that_is_too_large_and_no_message_is_an_error_before_it_is_read():
    with pytest.raises(MqttError, match="100006 bytes"):
        _reader().feed(b"\x90" + _length(100_002))


def test_connack_gives_the_terms_of_the_broker():
    properties = (
        b"\x12\x00\x02id\x13\x00\x0f\x21\x00\x14\x11\x00\x00\x0e\x10"
        b"\x27\x00\x00\x10\x00\x24\x01\x26\x00\x01k\x00\x01v\x1f\x00\x00"
    )
    body = b"\x01\x00" + bytes([len(properties)]) + properties
    granted = packets.ConnAck(True, 15, 3600, 20, 4096, 1, "id")
    assert packets.parse_connack(packets.MQTT_5, body) == granted


def test_a_broker_that_mentions_no_term_grants_all():
    granted = packets.parse_connack(packets.MQTT_5, b"\0\0\0")
    assert list(shortfalls(packets.Terms(30, 3600, 100, 5000), granted)) == []


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ({"session_expiry_s": 60}, "keeps the session for 60 s, not 3600"),
        ({"session_expiry_s": 0}, "max_session_expiry_interval_seconds (RabbitMQ)"),
        ({"keepalive_s": 5}, "a sign of life every 5 s, not 30"),
        ({"maximum_packet_bytes": 1024}, "packets of at most 1024 bytes"),
        ({"maximum_qos": 0}, "at QoS 0 only"),
        ({"assigned_client_id": "x1"}, "the client id 'x1'"),
    ],
)
def test_a_term_that_is_less_than_asked_for_is_a_sentence(granted, words):
    asked = packets.Terms(30, 3600, 100, 5000)
    (sentence,) = shortfalls(asked, packets.ConnAck(True)._replace(**granted))
    assert words in sentence


def test_terms_as_asked_for_or_better_are_none():
    asked = packets.Terms(30, 3600, 100, 5000)
    granted = packets.ConnAck(True, 30, 3600, 100, 5000, 1)
    assert list(shortfalls(asked, granted)) == []
    granted = packets.ConnAck(True, 60, 2**32 - 1, 65535, 2**28, 2)
    assert list(shortfalls(asked, granted)) == []


def test_a_broker_without_wildcards_is_refused():
    with pytest.raises(MqttError, match="no wildcards"):
        packets.parse_connack(packets.MQTT_5, b"\0\0\2\x28\0")


@pytest.mark.parametrize(
    ("version", "code", "message", "older"),
    [
        (packets.MQTT_5, 0x84, "unsupported protocol", True),
        (packets.MQTT_5, 0x01, "unsupported protocol", True),
        (packets.MQTT_5, 0x87, "not authorised", False),
        (packets.MQTT_311, 0x04, "bad user name or password", False),
        (packets.MQTT_311, 0x01, "unsupported protocol", False),
        (packets.MQTT_5, 0xEE, "0xee", False),
    ],
)
def test_a_refusal_names_the_broker_s_reason(version, code, message, older):
    with pytest.raises(MqttError, match=message) as caught:
        packets.parse_connack(version, bytes([0, code]))
    assert caught.value.wants_older_protocol is older


@pytest.mark.parametrize(
    ("code", "message"), [(0x87, "not authorised"), (0x80, "unspecified"), (0, "QoS 0")]
)
def test_a_subscription_without_qos_1_is_an_error(code, message):
    with pytest.raises(MqttError, match=message):
        packets.parse_suback(b"\x00\x01\x00\x01" + bytes([code]), 2)


def test_a_suback_without_all_its_codes_is_an_error():
    with pytest.raises(MqttError, match="without all its parts"):
        packets.parse_suback(b"\x00\x01\x01", 2)
