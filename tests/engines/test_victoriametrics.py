"""VictoriaMetrics, and vmauth, which asks for the bridge's token."""

import pytest
from rig import stored
from rig.messages import message
from rig.publisher import Publisher
from rig.waiting import eventually

from engines.conservation import is_conserved
from engines.databases import VictoriaMetricsOfSid, VmAuth

TOKEN = "s3cret-w0rd"


@pytest.fixture
def database(tmp_path, started):
    return started(VictoriaMetricsOfSid(tmp_path / "victoriametrics"))


@pytest.fixture
def proxy(tmp_path, database, started):
    """`proxy(user)`: vmauth that lets this user in."""
    return lambda user: started(VmAuth(tmp_path / "vmauth", database, user))


@pytest.fixture
def running_behind(tmp_path, mosquitto, bridge):
    """`running_behind(server)`: a bridge that has the token."""
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    table = {"org": "egiz", "bucket": "factory", "token_file": str(token_file)}

    def start(server):
        running = bridge(mosquitto.url, influxdb={"url": server.url, **table})
        running.start()
        return running

    return start


def _is_noticed(running, part):
    """It is killed, and back when the bridge has noticed; so is what it has lost.

    Behind a proxy, the bridge sees no restart that falls between two writes.
    """
    part.kill()
    eventually(lambda: running.metrics()["sink_up/influxdb"] == 0)
    part.start()
    eventually(lambda: running.metrics()["sink_up/influxdb"] == 1)


@pytest.mark.timeout(600)
def test_the_database_the_proxy_and_the_bridge_are_killed(
    mosquitto, database, proxy, running_behind, fleet
):
    vmauth = proxy({"bearer_token": TOKEN})
    running = running_behind(vmauth)
    published = fleet(mosquitto.url, seconds=60)
    for part in (database, vmauth, database):
        received = running.metrics()["messages_received_total"]
        eventually(
            lambda n=received: running.metrics()["messages_received_total"] > n + 1000
        )
        _is_noticed(running, part)
    running.kill()
    running.start()

    def read():
        return stored.in_victoriametrics(database)

    is_conserved("VictoriaMetrics behind vmauth", published, running, read)


@pytest.mark.parametrize(
    "user", [{"auth_token": f"Token {TOKEN}"}, {"bearer_token": "x"}]
)
def test_a_token_that_vmauth_does_not_know_is_held(
    mosquitto, proxy, running_behind, launch, user
):
    running = running_behind(proxy(user))
    with Publisher(mosquitto) as publisher:
        publisher.publish(*message("oven-1", 1_800_000_000_000, 0))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 1)
    assert running.metrics()["sink_dead_total/influxdb"] == 0
    assert running.get("/readyz")[0] == 503
    check = launch("egiz-bridge", "check", "--config", str(running.config))
    assert check.wait() == 1
    assert "WRONG influxdb.url" in check.output()
    assert "HTTP 401" in check.output()
    assert TOKEN not in check.output() + running.log
