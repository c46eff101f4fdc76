"""The MQTT client against a broker that does exactly what a test says."""

import asyncio

from _broker import SHORT_S, Broker, acknowledging, error_of, packet_id, run_with, until

TOPIC = "sensors/factory/oven-001/telemetry"


def test_connect_has_client_id_credentials_and_last_will():
    async def work(client, broker):
        client.set_last_will("will/topic", b"gone", True, 1)
        assert await client.connect() is False
        return broker.packets[0]

    packet = run_with(Broker(), work, user="device", password="secret", keepalive=258)
    assert packet == (
        b"\x10\x00\x04MQTT\x04\xee\x01\x02\x00\x08oven-001"
        b"\x00\x0awill/topic\x00\x04gone\x00\x06device\x00\x06secret"
    )


def test_a_session_that_the_broker_kept_is_no_error():
    async def work(client, broker):
        del broker
        return await client.connect(clean_session=False)

    assert run_with(Broker(b"\x20\x02\x01\x00"), work) is True


def test_a_refused_connection_has_a_reason_in_words():
    async def work(client, broker):
        del broker
        return await error_of(client.connect())

    assert run_with(Broker(b"\x20\x02\x00\x04"), work) == (
        "refused: bad user name or password"
    )
    assert run_with(Broker(b"\x20\x02\x00\x05"), work) == "refused: not authorized"
    assert run_with(Broker(b"\x20\x02\x00\x42"), work) == "refused: code 66"


def test_without_a_valid_connack_there_is_no_connection():
    async def work(client, broker):
        del broker
        error = await error_of(client.connect())
        assert not client.is_connected
        return error

    assert run_with(Broker(b"\x30\x02\x00\x00"), work) == "no CONNACK, but packet 0x30"
    assert run_with(Broker(b""), work, SHORT_S) == "no CONNACK in time"
    assert run_with(Broker(b"\x20\x02"), work, SHORT_S) == "no CONNACK in time"
    assert run_with(Broker(None), work) == "closed before CONNACK"


def test_a_publish_at_qos_1_returns_with_its_puback_and_not_before():
    async def work(client, broker):
        broker.answer = lambda _: b""
        await client.connect()
        publishing = asyncio.create_task(client.publish(TOPIC, b"{}", True, 1))
        await until(lambda: len(broker.packets) == 2)
        await asyncio.sleep(0.05)
        assert not publishing.done()
        await broker.send(b"\x40\x02\x00\x01")
        await publishing
        return broker.packets[1]

    packet = run_with(Broker(), work)
    assert packet == b"\x33\x00" + bytes([len(TOPIC)]) + TOPIC.encode() + b"\x00\x01{}"


def test_a_puback_of_another_packet_is_no_puback():
    async def work(client, broker):
        broker.answer = lambda _: b"\x40\x02\x12\x34"
        await client.connect()
        error = await error_of(client.publish(TOPIC, b"{}", qos=1))
        assert not client.is_connected
        return error

    error = run_with(Broker(), work, SHORT_S)
    assert error == "connection lost: no answer in time"


def test_a_message_without_puback_is_sent_again_with_dup_and_its_packet_id():
    async def work(client, broker):
        await client.connect()
        await client.publish(TOPIC, b"first", qos=1)
        broker.answer = lambda _: b""
        await error_of(client.publish(TOPIC, b"second", qos=1))
        broker.answer = acknowledging
        await client.connect()
        await client.publish("sensors/factory/oven-001/status", b"birth", qos=1)
        await client.publish(TOPIC, b"second", qos=1, dup=True)
        await client.publish(TOPIC, b"third", qos=1)
        return broker.packets

    sent = [packet for packet in run_with(Broker(), work, SHORT_S) if packet[0] != 0x10]
    assert [(packet[0], packet_id(packet)[1]) for packet in sent] == [
        (0x32, 1),
        (0x32, 2),
        (0x32, 3),  # not the id of the message that waits
        (0x3A, 2),
        (0x32, 4),
    ]


def test_packet_ids_wrap_and_are_never_zero():
    async def work(client, broker):
        await client.connect()
        client.pid = 65533
        for _ in range(4):
            await client.publish(TOPIC, b"{}", qos=1)
        return [packet_id(packet) for packet in broker.packets[1:]]

    assert run_with(Broker(), work) == [b"\xff\xfe", b"\xff\xff", b"\0\1", b"\0\2"]


def test_tasks_that_publish_at_the_same_time_do_so_one_after_the_other():
    async def work(client, broker):
        await client.connect()
        await asyncio.gather(
            *[client.publish(TOPIC, b"%d" % n, qos=1) for n in range(20)]
        )
        return sorted([packet[-2:] for packet in broker.packets[1:]])

    assert len(run_with(Broker(), work)) == 20


def test_a_refused_subscription_is_an_error_and_the_connection_stays():
    async def work(client, broker):
        broker.answer = lambda packet: b"\x90\x03" + packet_id(packet) + b"\x80"
        await client.connect()
        error = await error_of(client.subscribe("sensors/#", 1))
        assert client.is_connected
        return error

    assert run_with(Broker(), work) == "subscription refused"


def test_a_closed_connection_is_noticed_immediately():
    async def work(client, broker):
        lost = []
        broker.answer = lambda _: None
        client.on_lost = lambda: lost.append(1)
        await client.connect()
        error = await error_of(client.publish(TOPIC, b"{}", qos=1))
        assert lost == [1]
        return error

    assert run_with(Broker(), work) == "connection lost: closed by the broker"


def test_a_silent_broker_is_pinged_and_a_missing_pingresp_ends_the_connection():
    async def work(client, broker):
        await client.connect()
        await until(lambda: b"\xc0" in broker.packets)
        await asyncio.sleep(0.5)
        assert client.is_connected  # it was answered
        broker.answer = lambda _: b""
        await until(lambda: not client.is_connected)
        return await error_of(client.publish(TOPIC, b"{}", qos=1))

    error = run_with(Broker(), work, 2, keepalive=2)
    assert error == "connection lost: no PINGRESP in time"


def test_disconnect_is_sent_once():
    async def work(client, broker):
        await client.connect()
        await client.disconnect()
        await client.disconnect()
        await until(lambda: len(broker.packets) == 2)
        return broker.packets[1]

    assert run_with(Broker(), work) == b"\xe0"


def test_a_client_that_is_not_connected_says_so():
    async def work(client, broker):
        del broker
        for operation in (
            client.publish(TOPIC, b"{}", qos=1),
            client.publish(TOPIC, b"{}"),
            client.subscribe(TOPIC),
        ):
            assert await error_of(operation) == "not connected"

    run_with(Broker(), work)
