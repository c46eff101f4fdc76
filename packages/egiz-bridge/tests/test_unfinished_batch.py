"""A batch is handed on when it has lingered, and at once when nothing can follow."""

import socket
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rig import stored
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'
FIRST_S = 1706352600


@pytest.mark.parametrize("qos", [0, 1])
def test_it_is_stored_when_the_broker_goes_away(mosquitto, bridge, qos):
    running = bridge(mosquitto.url, archive={})
    running.start()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    eventually(client.is_connected)
    for number in range(5):
        client.publish(TOPIC, PAYLOAD % (FIRST_S + number), qos)
    eventually(lambda: running.metrics()["messages_received_total"] == 5)
    mosquitto.kill()
    client.loop_stop()
    eventually(lambda: running.metrics()["sink_written_total/archive"] == 5, timeout=5)
    assert running.metrics()["mqtt_connected"] == 0
    assert len(stored.in_archive(running.archive)) == 5
    assert running.metrics()["sink_unaccounted/archive"] == 0


class StrictBroker:
    """Sends messages to one subscriber, and never more than its window at once.

    As RabbitMQ, whose window (prefetch) is 10; Mosquitto does not keep to its own.
    """

    def __init__(self, window, messages):
        self._window, self._messages = window, messages
        self.seconds = None  # that it took until all were acknowledged
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with self._listener:
            client, _ = self._listener.accept()
        with client:
            self._send_all(client)

    def _send_all(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.recv(4096)
        client.sendall(b"\x20\x03\0\0\0")  # CONNACK
        client.recv(4096)
        client.sendall(b"\x90\x04\0\x01\0\x01")  # SUBACK
        begun, sent, acknowledged = time.monotonic(), 0, 0
        while acknowledged < self._messages * PUBACK_BYTES:
            while sent < min(
                self._messages, acknowledged // PUBACK_BYTES + self._window
            ):
                client.sendall(_publish_packet(sent))
                sent += 1
            acknowledged += len(client.recv(4096))
        self.seconds = time.monotonic() - begun
        client.recv(4096)


PUBACK_BYTES = 4


def _publish_packet(number):
    body = len(TOPIC).to_bytes(2, "big") + TOPIC.encode()
    body += (number % 60_000 + 1).to_bytes(2, "big") + b"\0"
    body += PAYLOAD % (FIRST_S + number)
    length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    return b"\x32" + length + body


@pytest.mark.parametrize("window", [1, 10, 20])
def test_a_broker_with_a_small_window_does_not_wait_for_each_batch(bridge, window):
    """At 0.25 s for each batch, it would get rid of 40 messages a second."""
    broker = StrictBroker(window, 600)
    running = bridge(broker.url, archive={})
    running.start()
    eventually(lambda: broker.seconds)
    assert broker.seconds < 600 / (300 if window >= 10 else 50)
    assert len(stored.in_archive(running.archive)) == 600
    assert running.metrics()["mqtt_window_seen_messages"] == window
    assert running.log.count("raise max_inflight_messages (Mosquitto") == 1
    assert running.stop() == 0
