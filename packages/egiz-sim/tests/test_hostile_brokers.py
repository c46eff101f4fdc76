"""Brokers that answer wrongly: no traceback, no storm, and no lie in the ledger."""

import asyncio
import socket
import threading
import time

import pytest
from egiz_sim import packets
from egiz_sim.broker import Broker
from egiz_sim.conformance.client import Client
from egiz_sim.conformance.errors import CheckError
from egiz_sim.mqtt import Publisher
from egiz_sim.waiting import until
from rig.waiting import eventually

_CONNACK = b"\x20\x02\x00\x00"
_MALFORMED = {
    "a length of five digits": b"\x40\xff\xff\xff\xff\x01",
    "a PUBACK without an id": b"\x40\x00",
    "a PUBACK with half an id": b"\x40\x01\x01",
    "a SUBACK without an id": b"\x90\x00",
    "a PUBLISH without a topic": b"\x32\x00",
    "a PUBLISH that ends in its topic": b"\x30\x03\x00\x05a",
}


class HostileBroker:
    """Says this at each connection, each after it has heard something."""

    def __init__(self, *says, is_closing=False):
        self._says, self._is_closing = says, is_closing
        self._server = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def broker(self):
        return Broker(*self._server.getsockname())

    def _serve(self):
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            self.connections.append(link)
            for each in self._says:
                link.recv(4096)
                link.sendall(each)
            if self._is_closing:
                link.close()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for link in self.connections:
            link.close()


@pytest.fixture
def hostile():
    """Start one: `hostile(b"...")`."""
    started = []

    def start(*arguments, **options):
        started.append(HostileBroker(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


async def _publish(broker, is_over, births):
    """Run a publisher until `is_over(publisher)`; its loop may complain of nothing."""
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def on_connect():
        births.append(publisher.connections)
        publisher.publish("a/b", b"birth")

    publisher = Publisher(broker, "oven-001", ("a/b", b""), on_connect, _no_matter)
    running = asyncio.create_task(publisher.run())
    try:
        assert await until(lambda: is_over(publisher), time.monotonic() + 20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.close()
    assert not complaints
    return publisher


def _no_matter(*_):
    pass


@pytest.mark.parametrize("what", _MALFORMED)
def test_what_is_not_mqtt_ends_the_connection_and_is_named(hostile, what):
    broker = hostile(_CONNACK, _MALFORMED[what]).broker
    publisher = asyncio.run(_publish(broker, lambda p: "MQTT" in p.error, []))
    assert publisher.error.startswith("what it sends is not MQTT 3.1.1")
    assert publisher.unacknowledged == publisher.connections


@pytest.mark.parametrize("says", [b"\x20\x00", b"\x20\xff\xff\xff\xff\x01"])
def test_an_answer_to_connect_that_is_none_is_named(hostile, says):
    broker = hostile(says).broker
    publisher = asyncio.run(_publish(broker, lambda p: "MQTT" in p.error, []))
    assert publisher.connections == 0


def test_a_broker_that_closes_at_once_is_not_stormed(hostile):
    broker = hostile(_CONNACK, is_closing=True)
    births = []
    paused = asyncio.run(
        _publish(broker.broker, lambda p: "client" in p.error and births, births)
    )
    assert paused.error.endswith("does another client have the id oven-001?")

    async def for_a_second():
        end = time.monotonic() + 1
        return await _publish(broker.broker, lambda _: time.monotonic() > end, births)

    births.clear()
    asyncio.run(for_a_second())
    # Without a pause, there were thousands; with one, half a second at first.
    assert len(births) < 20


def test_a_host_name_that_is_none_is_named():
    broker = Broker("a..b", 1883)
    publisher = asyncio.run(_publish(broker, lambda p: "label" in p.error, []))
    assert publisher.connections == 0


@pytest.mark.parametrize(
    "says", [b"\x20\x00", b"\x20\x01\x00", b"\xff\xff\xff\xff\xff", b"\x40\x00"]
)
def test_a_check_at_what_is_no_broker_is_a_sentence(hostile, says):
    broker = hostile(says).broker

    async def connect():
        client = Client(broker, _no_matter, _no_matter)
        try:
            await client.connect()
        finally:
            await client.close()

    with pytest.raises(CheckError, match="no MQTT"):
        asyncio.run(connect())


def test_a_packet_that_is_not_there_yet_is_waited_for(hostile):
    whole = packets.publish(1, "a/b", b"x" * 200)
    assert [packets.body(whole[:n], 0) for n in range(1, len(whole))] == [None] * (
        len(whole) - 1
    )
    assert packets.body(whole, 0) == (3, len(whole))
    broker = hostile(_CONNACK + whole[:2])
    births = []
    publisher = asyncio.run(_publish(broker.broker, lambda _: births, births))
    eventually(lambda: broker.connections)
    assert publisher.connections == 1
