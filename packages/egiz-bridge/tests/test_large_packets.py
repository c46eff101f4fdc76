"""Packets of any size: MQTT 3.1.1 has no limit that a subscriber could ask for."""

import socket
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from egiz_bridge.errors import MqttError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt import packets
from egiz_bridge.mqtt.connection import MAXIMUM_PACKET_BYTES
from egiz_bridge.mqtt.packets import Publish
from egiz_bridge.mqtt.reader import PacketReader
from egiz_bridge.pipeline.intake import BATCH_MESSAGES, Intake
from egiz_bridge.sinks.archive import ArchiveTable
from egiz_schema import limits
from rig.waiting import eventually

TOPIC = b"sensors/factory/oven-001/telemetry"
GOOD = b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1}}'
SIZE = 40 * 1024**2
COUNT = 5
# One of them would be more than twice as much.
MEMORY_MAX = 16 * 1024**2
CONNACK, SUBACK = b"\x20\x02\0\0", b"\x90\x03\0\x01\x01"


def _length(number):
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)


def _publish(packet_id, payload_bytes, payload=b"", flags=0x32):
    """The head of a PUBLISH with so much of a payload; it is sent apart."""
    head = len(TOPIC).to_bytes(2, "big") + TOPIC
    head += packet_id.to_bytes(2, "big") if packet_id else b""
    return bytes([flags]) + _length(len(head) + payload_bytes) + head + payload


class OlderBroker:
    """Speaks MQTT 3.1.1 only; sends large messages, then one of the contract."""

    def __init__(self):
        self.acknowledged = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.may_send = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with self._listener:
            first, _ = self._listener.accept()
            with first:  # a CONNECT of MQTT 5
                first.recv(4096)
                first.sendall(b"\x20\x02\0\x01")
            client, _ = self._listener.accept()
        with client:
            client.recv(4096)
            client.sendall(CONNACK)
            client.recv(4096)
            client.sendall(SUBACK)
            self._send_all(client)

    def _send_all(self, client):
        self.may_send.wait(60)
        chunk = b"x" * 1024**2
        for packet_id in range(1, COUNT + 1):
            client.sendall(_publish(packet_id, SIZE))
            for _ in range(SIZE // len(chunk)):
                client.sendall(chunk)
        client.sendall(_publish(0, SIZE, flags=0x30))
        for _ in range(SIZE // len(chunk)):
            client.sendall(chunk)
        client.sendall(_publish(COUNT + 1, len(GOOD), GOOD))
        while data := client.recv(4096):
            self.acknowledged += data


def _peak(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_they_are_read_past_acknowledged_and_buried_in_little_memory(bridge):
    broker = OlderBroker()
    running = bridge(broker.url, archive={})
    running.start()
    before = _peak(running.process.pid)
    broker.may_send.set()
    expected = packets.pubacks(range(1, COUNT + 2))
    eventually(lambda: broker.acknowledged == expected, timeout=120)
    grown = _peak(running.process.pid) - before
    sys.stdout.write(f"{grown / 1024**2:.1f} MiB more\n")  # shown by pytest -s
    assert grown < MEMORY_MAX, f"{grown / 1024**2:.1f} MiB"
    metrics = running.metrics()
    assert metrics["messages_rejected_total/too_large"] == COUNT + 1
    assert metrics["messages_accepted_total"] == 1
    assert metrics["sink_written_total/archive"] == 1
    assert metrics["mqtt_connections_total"] == 1
    with closing(sqlite3.connect(running.spool)) as db:
        query = "SELECT reason, payload_bytes, detail, topic FROM dead_letters"
        letters = set(db.execute(query))
    detail = f"{SIZE} bytes; a payload has at most 4096 bytes"
    assert letters == {("too_large", SIZE, detail, TOPIC.decode())}
    assert running.stop() == 0


LARGE = MAXIMUM_PACKET_BYTES + 5


@pytest.mark.parametrize("version", [packets.MQTT_311, packets.MQTT_5])
@pytest.mark.parametrize("step", [1000, 65_536, 10 * LARGE])
def test_what_surrounds_a_large_packet_is_whole(version, step):
    none = b"\0" if version == packets.MQTT_5 else b""  # of properties
    stream = b""
    for packet_id, payload in enumerate((GOOD, b"y" * LARGE, GOOD), 1):
        whole = _publish(packet_id, len(none) + len(payload), none + payload)
        stream += whole + packets.PINGREQ_PACKET
    reader = PacketReader(version, MAXIMUM_PACKET_BYTES)
    messages, others = [], []
    for start in range(0, len(stream), step):
        found = reader.feed(stream[start : start + step])
        messages += found[0]
        others += found[1]
    assert [one.packet_id for one in messages] == [1, 2, 3]
    assert [one.payload for one in (messages[0], messages[2])] == [GOOD, GOOD]
    large = messages[1]
    assert large.topic == TOPIC
    assert len(large.payload) + large.missing == LARGE
    assert set(large.payload) == {ord("y")}
    assert len(others) == 3


def test_properties_without_an_end_leave_topic_and_id():
    version = packets.MQTT_5
    properties = _length(200_000) + b"\x26" * 200_000
    body = properties + b"z" * MAXIMUM_PACKET_BYTES
    reader = PacketReader(version, MAXIMUM_PACKET_BYTES)
    packet = _publish(7, len(body), body)
    assert reader.feed(packet[:100_000]) == ([], [])
    (message,), _ = reader.feed(packet[100_000:])
    assert (message.topic, message.packet_id) == (TOPIC, 7)
    assert message.missing


def test_another_packet_that_is_too_large_is_an_error():
    reader = PacketReader(packets.MQTT_311, MAXIMUM_PACKET_BYTES)
    with pytest.raises(MqttError, match="bytes"):
        reader.feed(b"\x90" + _length(LARGE))


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TOPIC, b"x" * 60_000),
        (TOPIC, b"x" * 8000),
        (b"sensors/" + b"t" * 60_000, b"x"),
        (b"sensors/" + "\N{BANANA}".encode() + b"t" * 60_000, b"x"),  # 4 bytes a letter
    ],
    ids=["payload of 60 KB", "payload of 8 KB", "topic of 60 KB", "wide topic"],
)
def test_what_waits_of_large_rejects_is_bounded(topic, payload, qos):
    batches = []
    entry = Intake(Ledger(), Devices(), batches.append)
    entry.configure([ArchiveTable()])
    for number in range(1, 4 * BATCH_MESSAGES + 1):
        entry.receive([Publish(topic, payload, qos * number, 0)], 0)
    entry.flush()
    found = [(batch.rejects, batch.rejects_qos0)[1 - qos] for batch in batches]
    assert sum(map(len, found)) == 4 * BATCH_MESSAGES
    for letters in found:
        texts = [text for one in letters for text in one.message[:2]]
        assert sum(map(sys.getsizeof, texts)) < 1.3 * 1024**2
    first = found[0][0]
    assert len(first.message.payload) == min(len(payload), limits.PAYLOAD_BYTES_MAX)
    assert len(first.message.payload) + first.missing == len(payload)
