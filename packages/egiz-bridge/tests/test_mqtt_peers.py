"""Our packets and independent ones: of paho-mqtt (MQTT 5) and amqtt (3.1.1)."""

import asyncio
import contextlib
import itertools

import paho.mqtt.client as paho
import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket
from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt import packets
from egiz_bridge.mqtt.reader import PacketReader
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BYTES_MAX = 1024**2
TOPICS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=60
)
IDS = st.integers(1, 65535)
VERSIONS = (packets.MQTT_311, packets.MQTT_5)


@st.composite
def properties(draw):
    """What a PUBLISH may carry (3.3.2.3), as paho writes it."""
    made = Properties(PacketTypes.PUBLISH)
    if draw(st.booleans()):
        made.PayloadFormatIndicator = draw(st.integers(0, 1))
    if draw(st.booleans()):
        made.MessageExpiryInterval = draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        made.ContentType = draw(st.text("abc/", max_size=200))
    if draw(st.booleans()):
        made.CorrelationData = draw(st.binary(max_size=50))
    for pair in draw(st.lists(st.tuples(st.text("xyz"), st.text("xyz")), max_size=4)):
        made.UserProperty = pair
    return made


@st.composite
def messages(draw):
    qos = draw(st.integers(0, 1))
    return {
        "topic": draw(TOPICS),
        "payload": draw(st.binary(max_size=400)),
        "qos": qos,
        "mid": draw(IDS) if qos else 0,
        "retain": draw(st.booleans()),
        "dup": draw(st.booleans()) and bool(qos),
    }


class _Sent(paho.Client):
    """paho, up to the socket: its packets are kept instead."""

    def __init__(self):
        super().__init__(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.sent = []

    def _packet_queue(self, command, packet, *_rest):
        del command
        self.sent.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


def _by_paho(message, carried):
    client = _Sent()
    client._sock = object()  # noqa: SLF001  # its encoder has no public name
    client._send_publish(  # noqa: SLF001  # as above
        message["mid"],
        message["topic"].encode(),
        message["payload"],
        message["qos"],
        message["retain"],
        message["dup"],
        properties=carried,
    )
    client._sock = None  # noqa: SLF001  # as above
    return client.sent[0]


def _by_amqtt(message):
    packet = PublishPacket.build(
        message["topic"],
        message["payload"],
        message["mid"] or None,
        message["dup"],
        message["qos"],
        message["retain"],
    )
    return bytes(packet.to_bytes())


def _expected(message):
    flags = message["retain"] | message["qos"] << 1 | message["dup"] << 3
    topic = message["topic"].encode()
    return packets.Publish(topic, message["payload"], message["mid"], flags)


def _fed(version, *chunks):
    reader = PacketReader(version, BYTES_MAX)
    fed = [reader.feed(chunk) for chunk in chunks]
    return (
        list(itertools.chain.from_iterable(found for found, _ in fed)),
        list(itertools.chain.from_iterable(others for _, others in fed)),
    )


@given(st.lists(messages(), min_size=1, max_size=5), properties())
def test_a_publish_of_mqtt_5_by_paho(sent, carried):
    stream = b"".join(_by_paho(message, carried) for message in sent)
    assert _fed(packets.MQTT_5, stream) == ([_expected(one) for one in sent], [])


@given(st.lists(messages(), min_size=1, max_size=5))
def test_a_publish_of_mqtt_311_by_amqtt(sent):
    stream = b"".join(_by_amqtt(message) for message in sent)
    assert _fed(packets.MQTT_311, stream) == ([_expected(one) for one in sent], [])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stream_may_be_cut_anywhere(version):
    """Every packet, cut at every offset; lengths of one, two and three bytes."""
    sizes = (0, 1, 60, 127, 128, 300, 17_000)
    carried = Properties(PacketTypes.PUBLISH)
    carried.UserProperty = ("key", "value")
    stream = b""
    for number, size in enumerate(sizes):
        message = {
            "topic": "sensors/factory/oven-001/telemetry",
            "payload": bytes(size),
            "qos": number % 2,
            "mid": number if number % 2 else 0,
            "retain": False,
            "dup": False,
        }
        is_5 = version == packets.MQTT_5
        stream += _by_paho(message, carried) if is_5 else _by_amqtt(message)
        stream += b"\xd0\x00"  # PINGRESP
    whole = _fed(version, stream)
    assert (len(whole[0]), len(whole[1])) == (len(sizes), len(sizes))
    for cut in range(len(stream) + 1):
        assert _fed(version, stream[:cut], stream[cut:]) == whole


@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_a_broker_sends_nothing_but_our_error_comes_out(version):
    @given(st.lists(st.binary(max_size=60), max_size=6))
    def check(chunks):
        _is_total(lambda: _fed(version, *chunks))

    @given(st.binary(max_size=40))
    def check_bodies(body):
        _is_total(lambda: packets.parse_connack(version, body))
        _is_total(lambda: packets.parse_suback(body, 2))
        _is_total(lambda: _fed(version, bytes([0x32, len(body)]) + body))

    check()
    check_bodies()


def _is_total(run):
    with contextlib.suppress(MqttError):
        run()


def _read_by_amqtt(kind, packet):
    return asyncio.run(kind.from_stream(BufferReader(packet)))


@given(st.text("abc-019", min_size=1, max_size=23), st.text(max_size=20), st.booleans())
def test_our_connect_read_by_amqtt(client_id, password, is_lasting):
    terms = packets.Terms(30, 3600 if is_lasting else 0, 100, 1000)
    credentials = ("user", password)
    packet = packets.connect(packets.MQTT_311, client_id, credentials, terms)
    read = _read_by_amqtt(ConnectPacket, packet)
    assert (read.client_id, read.username, read.password) == (
        client_id,
        "user",
        password,
    )
    assert (read.keep_alive, read.clean_session_flag) == (30, not is_lasting)
    assert (read.proto_level, read.will_flag) == (4, False)


@given(st.integers(1, 2**32 - 1), IDS, st.integers(1, 2**28 - 1))
def test_the_properties_of_our_connect_read_by_paho(expiry, maximum, size):
    terms = packets.Terms(30, expiry, maximum, size)
    packet = packets.connect(packets.MQTT_5, "c", None, terms)
    read = Properties(PacketTypes.CONNECT)
    read.unpack(packet[12:])
    assert read.json() == {
        "SessionExpiryInterval": expiry,
        "ReceiveMaximum": maximum,
        "MaximumPacketSize": size,
    }


@given(IDS, st.lists(TOPICS, min_size=1, max_size=5))
def test_our_subscribe_read_by_amqtt(packet_id, filters):
    packet = packets.subscribe(packets.MQTT_311, packet_id, filters)
    read = _read_by_amqtt(SubscribePacket, packet)
    assert read.variable_header.packet_id == packet_id
    assert read.payload.topics == [(one, 1) for one in filters]


@given(IDS, st.lists(TOPICS, min_size=1, max_size=5))
def test_our_unsubscribe_read_by_amqtt(packet_id, filters):
    packet = packets.unsubscribe(packets.MQTT_311, packet_id, filters)
    read = _read_by_amqtt(UnsubscribePacket, packet)
    assert read.variable_header.packet_id == packet_id
    assert read.payload.topics == filters


@given(st.lists(IDS, max_size=20))
def test_our_pubacks_read_by_amqtt(packet_ids):
    stream = BufferReader(packets.pubacks(packet_ids))

    async def read():
        return [(await PubackPacket.from_stream(stream)).packet_id for _ in packet_ids]

    assert asyncio.run(read()) == packet_ids
