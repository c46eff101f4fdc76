"""A broker that goes on sending without an end to the handshake."""

import contextlib
import itertools
import socket
import threading
import time

import pytest
from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt import connection
from egiz_bridge.mqtt.broker import Broker
from rig.waiting import eventually

CONNACK, SUBACK, PINGRESP = b"\x20\x03\0\0\0", b"\x90\x04\0\x01\0\x01", b"\xd0\0"
# Announces a megabyte; the rest comes byte by byte.
LONG_CONNACK = b"\x20\xff\xff\x03"


def _publish(payload):
    topic = b"sensors/factory/oven-001/telemetry"
    body = len(topic).to_bytes(2, "big") + topic + b"\0" + payload
    return b"\x30" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body


@pytest.fixture
def broker():
    """`broker(first, then, every_s)`: sends `first`, then one of `then` at a time."""
    with contextlib.ExitStack() as stack:

        def begin(first, then, every_s=0.0):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = server.accept()
                        thread = threading.Thread(target=send, args=(client,))
                        thread.start()

            def send(client):
                with client, contextlib.suppress(OSError):
                    client.recv(4096)
                    client.sendall(first)
                    for part in then:
                        time.sleep(every_s)
                        client.sendall(part)
                    client.recv(4096)

            threading.Thread(target=serve, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return server.getsockname()[1]

        yield begin


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (LONG_CONNACK, b"\0", "no CONNACK"),
        (b"", _publish(b"x"), "no CONNACK"),
        (CONNACK, PINGRESP, "no SUBACK"),
    ],
)
def test_a_handshake_ends_however_slowly_the_broker_sends(
    broker, monkeypatch, first, then, said
):
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.6)
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.9)
    port = broker(first, itertools.repeat(then), every_s=0.1)
    begun = time.monotonic()
    with pytest.raises(MqttError, match=said):
        connection.open_connection(Broker("127.0.0.1", port, "c"))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("first", "then"), [(LONG_CONNACK, b"\0"), (CONNACK, PINGRESP)]
)
def test_a_stop_does_not_wait_for_the_end_of_a_handshake(broker, bridge, first, then):
    port = broker(first, itertools.repeat(then), every_s=0.5)
    running = bridge(f"mqtt://127.0.0.1:{port}", archive={})
    running.start(wait=False)
    eventually(lambda: running.get("/healthz")[0] == 200)
    time.sleep(1)  # within the handshake
    begun = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - begun < 4


def test_a_flood_before_the_suback_is_handed_on_before_it_fills_the_memory(broker):
    port = broker(CONNACK, itertools.repeat(_publish(b"x" * 1000) * 100))
    made, early = connection.open_connection(Broker("127.0.0.1", port, "c"))
    assert sum(len(one.payload) for one in early) + 50_000 >= connection.EARLY_BYTES_MAX
    assert len(early) < 2 * connection.EARLY_BYTES_MAX / 1000
    assert {one.payload for one in made.read()} == {b"x" * 1000}
    made.close()


def test_a_suback_behind_a_long_backlog_is_read_when_it_comes(broker, monkeypatch):
    """On a slow link, a resumed session may need longer than a handshake may."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.5)
    messages = [_publish(b"%d" % number) for number in range(12)]
    port = broker(CONNACK, [*messages, SUBACK, PINGRESP], every_s=0.1)
    made, found = connection.open_connection(Broker("127.0.0.1", port, "c"))
    assert 0 < len(found) < 12
    while len(found) < 12:
        found += made.read()
    assert [int(one.payload) for one in found] == list(range(12))
    made.close()


def _read_on(made):
    while True:
        made.read()


def test_a_suback_that_refuses_is_an_error_whenever_it_comes(broker, monkeypatch):
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.2)
    refused = b"\x90\x04\0\x01\0\x87"
    port = broker(CONNACK, [_publish(b"x"), *[PINGRESP] * 3, refused], every_s=0.1)
    made, early = connection.open_connection(Broker("127.0.0.1", port, "c"))
    assert len(early) == 1
    with contextlib.closing(made), pytest.raises(MqttError, match="not authorised"):
        _read_on(made)
