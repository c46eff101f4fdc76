"""RabbitMQ: one node, and three with quorum queues."""

import pytest
from rig import stored

from engines.brokers import FirstThatAnswers
from engines.conservation import is_conserved
from engines.rabbitmq import Epmd, RabbitMqNode

# The last is a day by default.
SETTINGS = """\
mqtt.prefetch = 20000
mqtt.max_session_expiry_interval_seconds = 345600
"""
QUORUM = SETTINGS + "mqtt.durable_queue_type = quorum\n"
# What was on its way to a node that died comes again only then.
AFTER_A_NODE_S = 150

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(tmp_path, stack):
    """`cluster(count, settings)`: its nodes, running."""

    def start(count, settings):
        epmd = Epmd(tmp_path / "epmd")
        stack.callback(epmd.kill)
        nodes = [
            RabbitMqNode(tmp_path / f"r{number}", number, count, epmd, settings)
            for number in range(count)
        ]
        for node in nodes:
            stack.callback(node.kill)
            node.launch()
        for node in nodes:
            node.until_ready()
        return nodes

    return start


@pytest.fixture
def running_with(influxdb, bridge):
    """`running_with(nodes)`: a bridge that knows them all."""

    def start(nodes):
        table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
        urls = ", ".join(node.url for node in nodes)
        running = bridge(urls, influxdb=table)
        running.start()
        return running

    return start


@pytest.mark.parametrize("settings", ["", SETTINGS], ids=["defaults", "settings"])
def test_the_database_the_broker_and_the_bridge_are_killed(
    cluster, running_with, influxdb, fleet, settings
):
    nodes = cluster(1, settings)
    running = running_with(nodes)
    published = fleet(nodes[0].url)
    published.until(4)
    influxdb.kill()
    published.until(7)
    nodes[0].kill()
    nodes[0].start()
    influxdb.start()
    published.until(16)
    running.kill()
    running.start()

    def read():
        return stored.in_influxdb(influxdb)

    name = f"RabbitMQ, one node, {'prefetch 20000' if settings else 'defaults'}"
    is_conserved(name, published, running, read, AFTER_A_NODE_S)
    for warning in ("grants less than asked for", "leaves few messages unacknowledged"):
        assert (warning in running.log) == (not settings)


def test_a_node_of_three_the_database_and_the_bridge_are_killed(
    cluster, running_with, influxdb, fleet, stack
):
    nodes = cluster(3, QUORUM)
    balancer = FirstThatAnswers(nodes)
    stack.callback(balancer.close)
    running = running_with(nodes)
    published = fleet(balancer.url)
    published.until(7)
    nodes[0].kill()
    published.until(12)
    influxdb.kill()
    published.until(16)
    running.kill()
    influxdb.start()
    running.start()

    def read():
        return stored.in_influxdb(influxdb)

    is_conserved("RabbitMQ, three nodes", published, running, read, AFTER_A_NODE_S)
