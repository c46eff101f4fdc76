"""`egiz-sim check` beside what it does not own: the port, and the broker before it."""

import asyncio
import socket
import subprocess

import pytest
from egiz_sim.broker import Broker
from egiz_sim.conformance.errors import PortError
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.run import check
from rig.faulty_device import FaultyDevice
from rig.process import free_port, require
from rig.publisher import Publisher

TOPIC = "sensors/factory/oven-001/config"
CONFIG = b'{"device_id":"oven-001", "rev":41, "publish_rate_ms":300}'


class Checked:
    """One check in this process; what it says is in `said`."""

    def __init__(self, broker, **options):
        options = {"interval_ms": 200, "outage": 2, "answer": 2, "wait": 20} | options
        self.plan = Plan("factory", "oven-001", free_port(), **options)
        self.said, self.on_say = [], lambda text: None
        self._broker = Broker.from_url(broker.url)

    def run(self):
        return asyncio.run(check(self._broker, self.plan, self._say))

    def _say(self, text):
        self.said.append(text)
        self.on_say(text)


@pytest.fixture
def device():
    """Start a device: `device(checked, FaultyDevice)`."""
    started = []

    def start(checked, kind=FaultyDevice, fault=""):
        port = checked.plan.proxy_port
        started.append(kind("127.0.0.1", port, "oven-001", fault))
        return started[-1]

    yield start
    for each in started:
        each.close()


def _retain(broker, payload):
    with Publisher(broker) as publisher:
        publisher.publish(TOPIC, payload, retain=True)


def _kept(broker):
    """Topic -> payload of the orders that the broker keeps."""
    program = require("mosquitto_sub", "apt install mosquitto-clients")
    topics = ("-t", "sensors/+/+/config", "-t", "sensors/+/+/command")
    options = ("-i", "reader", "-v", "--retained-only", "-W", "1", "-h", broker.host)
    done = subprocess.run(
        [program, *options, "-p", str(broker.port), *topics],
        capture_output=True,
        check=False,
        timeout=60,
    )
    lines = [line.partition(b" ") for line in done.stdout.splitlines()]
    return {topic.decode(): payload for topic, _, payload in lines}


def test_a_port_that_is_taken_in_the_outage_keeps_it_from_nothing(
    mosquitto, device
):
    _retain(mosquitto, CONFIG)
    checked = Checked(mosquitto)
    device(checked)
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do

    def take():
        taken.bind(("", checked.plan.proxy_port))
        taken.listen()

    def say(text):
        if text.startswith("outage of"):
            asyncio.get_running_loop().call_later(0.1, take)

    checked.on_say = say
    with taken, pytest.raises(PortError, match="choose another port"):
        checked.run()
    assert _kept(mosquitto) == {TOPIC: CONFIG}
    assert "the config that was found is retained again, but" in checked.said[-1]
