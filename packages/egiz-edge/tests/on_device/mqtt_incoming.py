"""What the broker sends: messages, floods, malformed packets."""

import asyncio
from binascii import crc32

from _broker import Broker, error_of, run_with, until
from egiz_edge import mqtt

mqtt.INCOMING_MAX = 1000  # the interpreter runs the broker, too

TOPIC = "sensors/factory/oven-001/telemetry"


def _incoming(topic, payload, first=0x32, pid=b"\x00\x07"):
    body = len(topic).to_bytes(2, "big") + topic + (pid if first & 6 else b"") + payload
    return mqtt.packet(first, body)


async def _send_long(broker, first):
    """60,000 bytes of payload, which never are in memory at once."""
    head = b"\x00\x03a/b" + (b"\x00\x07" if first & 6 else b"")
    length = len(head) + 60000
    digits = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
    await broker.send(bytes([first]) + digits + head)
    for _ in range(120):
        await broker.send(bytes(500))


def test_a_message_is_passed_on_and_acknowledged():
    received = []

    async def work(client, broker):
        client.set_callback(lambda *message: received.append(message))
        await client.connect()
        await broker.send(_incoming(b"a/b", b"one") + _incoming(b"a/b", b"two", 0x31))
        await until(lambda: len(received) == 2 and len(broker.packets) == 2)
        return broker.packets[1]

    assert run_with(Broker(), work) == b"\x40\x00\x07"
    assert received == [(b"a/b", b"one", False), (b"a/b", b"two", True)]


def test_of_a_message_that_is_too_long_the_crc_is_passed_on_and_it_is_acknowledged():
    received = []

    async def work(client, broker):
        client.set_callback(lambda *message: received.append(message))
        await client.connect()
        for first in (0x32, 0x30):
            await _send_long(broker, first)
        await broker.send(_incoming(b"a/b", b"y" * 990, 0x30))
        await until(lambda: len(received) == 3 and len(broker.packets) == 2)
        assert client.is_connected
        return broker.packets[1]

    assert run_with(Broker(), work) == b"\x40\x00\x07"
    crc = 0
    for _ in range(120):
        crc = crc32(bytes(500), crc)
    too_long = (b"a/b", crc, False)
    assert received == [too_long, too_long, (b"a/b", b"y" * 990, False)]


def test_a_flood_of_messages_blocks_neither_publishing_nor_keepalive():
    count = [0]

    def receive(*_):
        count[0] += 1

    async def work(client, broker):
        client.set_callback(receive)
        await client.connect()
        flood = asyncio.create_task(_flood(broker))
        for _ in range(10):
            await client.publish(TOPIC, b"{}", qos=1)
        await flood
        await until(lambda: count[0] == 1000)
        assert client.is_connected

    async def _flood(broker):
        for _ in range(100):
            await broker.send(10 * _incoming(b"a/b", b"z" * 100, 0x31))

    run_with(Broker(), work)


def test_a_malformed_packet_ends_the_connection_and_nothing_else():
    malformed = (
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\x02\x00\x30",  # a topic longer than the packet
        b"\x30\x01\x00",  # half the length of a topic
        b"\x32\x03\x00\x01a",  # no packet id
        b"\x34\x06\x00\x01a\x00\x01x",  # QoS 2, which was not subscribed
        b"\x40\x30" + bytes(48),  # a PUBACK of 48 bytes
        b"\x32\xff\x3f\xff\xff",  # too long, and its topic is longer still
    )

    async def work(client, broker):
        lost = []
        client.set_callback(lambda *_: None)
        client.on_lost = lambda: lost.append(1)
        for data in malformed:
            await client.connect()
            await broker.send(data)
            await until(lambda: not client.is_connected)
        await client.connect()
        await client.publish(TOPIC, b"{}", qos=1)
        return len(lost)

    assert run_with(Broker(), work) == len(malformed)


def test_a_callback_that_fails_ends_the_connection():
    def fail(*_):
        raise KeyError("a bug")

    async def work(client, broker):
        client.set_callback(fail)
        await client.connect()
        await broker.send(_incoming(b"a/b", b"one"))
        await until(lambda: not client.is_connected)
        return await error_of(client.publish(TOPIC, b"{}", qos=1))

    assert "a bug" in run_with(Broker(), work)
