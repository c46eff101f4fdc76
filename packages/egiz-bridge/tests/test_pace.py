"""At a low rate the bridge does not wake up for each message."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from egiz_bridge.mqtt.pace import PACE_S, Pace
from rig import stored
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'
FIRST_S = 1706352600
CONNACK, SUBACK = b"\x20\x03\0\0\0", b"\x90\x04\0\x01\0\x01"
PINGREQ, PINGRESP = b"\xc0\0", b"\xd0\0"
ROOM = 64 * 1024  # of a new socket's receive buffer


class SteadyBroker:
    """Sends messages to one subscriber at a steady rate, each by itself or several."""

    def __init__(self, messages, every_s, qos=1, connack=CONNACK, at_once=1):
        self._messages, self._every_s, self._qos = messages, every_s, qos
        self._at_once = at_once
        self._connack = connack
        self.received = b""  # from the bridge, since it subscribed
        self.is_done = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with self._listener:
            client, _ = self._listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.recv(4096)
            client.sendall(self._connack)
            client.recv(4096)
            client.sendall(SUBACK)
            threading.Thread(target=self._send, args=[client], daemon=True).start()
            with suppress(ConnectionResetError):  # it was killed
                while received := client.recv(4096):
                    self.received += received
                    client.sendall(PINGRESP * received.count(PINGREQ))

    def _send(self, client):
        for number in range(self._messages):
            client.sendall(_publish_packet(number, self._qos))
            if number % self._at_once == self._at_once - 1:
                time.sleep(self._every_s)
        self.is_done = True


def _publish_packet(number, qos):
    body = len(TOPIC).to_bytes(2, "big") + TOPIC.encode()
    body += (number + 1).to_bytes(2, "big") * qos + b"\0"
    body += PAYLOAD % (FIRST_S + number)
    return bytes([0x30 | qos << 1, len(body) & 0x7F | 0x80, len(body) >> 7]) + body


def test_a_hundred_messages_5_ms_apart_are_a_few_reads(bridge):
    broker = SteadyBroker(100, 0.005)
    running = bridge(broker.url, archive={})
    running.start()
    turns_before = running.metrics()["main_loop_turn_seconds_count"]
    acknowledged = b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in range(1, 101))
    eventually(lambda: broker.received == acknowledged)
    metrics = running.metrics()
    assert metrics["main_loop_turn_seconds_count"] - turns_before < 30
    assert metrics["receipt_to_acknowledged_seconds_count"] == 100
    assert len(stored.in_archive(running.archive)) == 100


def test_pings_go_out_while_reads_are_paced(bridge):
    """The broker wants a sign of life every 2 s, and gets no PUBACK at QoS 0."""
    broker = SteadyBroker(800, 0.005, 0, b"\x20\x06\0\0\x03\x13\0\x02")
    running = bridge(broker.url, archive={})
    running.start()
    eventually(lambda: broker.is_done)
    pings = broker.received.count(PINGREQ)
    assert pings >= 2
    assert broker.received == PINGREQ * pings
    assert running.stop() == 0
    assert len(stored.in_archive(running.archive)) == 800


def test_devices_that_publish_together_now_and_then_are_no_small_window(bridge):
    broker = SteadyBroker(75, 0.4, at_once=5)
    running = bridge(broker.url, archive={})
    running.start()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 75)
    assert running.metrics()["mqtt_window_seen_messages"] == 0
    assert "leaves few messages unacknowledged" not in running.log


@pytest.mark.parametrize("every_s", [0.0005, 0.002, 0.01, 0.1])
@pytest.mark.parametrize("size", [60, 430, 4200])
def test_no_more_comes_in_a_pause_than_the_kernel_has_room_for(every_s, size):
    """At each rate, but for the first pause, when the rate is not known yet."""
    pace, now_s, read = Pace(), 0.0, 0
    sizes = []
    while now_s < 10:
        now_s = max(now_s + pace.pause_s(now_s), (read + 1) * every_s)
        sent = round(now_s / every_s)
        sizes.append((sent - read) * size)
        pace.was_read(sizes[-1], now_s)
        read = sent
    assert max(sizes[2:]) <= ROOM
    few = 10 / PACE_S + 10 * size / every_s / 16_000
    assert len(sizes) <= min(10 / every_s, few) + 3


def test_a_backlog_is_read_without_pauses():
    pace = Pace()
    for number in range(100):
        pace.was_read(ROOM, 1000 + number * 0.05)
        assert pace.pause_s(1000 + number * 0.05) == 0
