"""NATS with JetStream, three nodes."""

import pytest
from rig import stored
from rig.process import free_port

from engines.brokers import FirstThatAnswers, NatsNode
from engines.conservation import is_conserved

# What is not acknowledged at a SIGKILL comes again after ack_wait, 30 s by default.
SETTINGS = 'max_ack_pending: 20000, ack_wait: "10s", stream_replicas: 3'


@pytest.fixture
def nodes(tmp_path, stack):
    routes = [free_port() for _ in range(3)]
    made = [NatsNode(tmp_path / f"n{n}", n, routes, SETTINGS) for n in range(3)]
    for node in made:
        stack.callback(node.kill)
        node.launch()
    for node in made:
        node.until_ready()
    return made


def test_a_node_the_database_and_the_bridge_are_killed(
    nodes, stack, influxdb, bridge, fleet
):
    balancer = FirstThatAnswers(nodes)
    stack.callback(balancer.close)
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    urls = ", ".join(node.url for node in nodes)
    running = bridge(urls, influxdb=table)
    running.start()
    published = fleet(balancer.url)
    published.until(7)
    nodes[0].kill()
    published.until(12)
    influxdb.kill()
    published.until(16)
    running.kill()
    influxdb.start()
    running.start()
    is_conserved("NATS", published, running, lambda: stored.in_influxdb(influxdb))
