"""Databases over TLS with an authority of one's own, and v1 retention policies."""

import ssl

import pytest
import trustme
from rig.publisher import Publisher
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'
FIRST_S = 1706352600


class Authority:
    """An authority, a certificate of the database and one of the bridge, in files."""

    def __init__(self, directory):
        self._directory = directory
        directory.mkdir()
        self.renew()

    def renew(self):
        """Replace the authority, and all that it has signed."""
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(self.path("ca.pem"))
        bridge = self._authority.issue_cert("bridge")
        bridge.private_key_and_cert_chain_pem.write_to_path(self.path("bridge.pem"))

    def path(self, name):
        return str(self._directory / name)

    def configure(self, context):
        """Have a server show a certificate of this authority, and want one."""
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(scripted_http, authority):
    """The database with TLS, and its context."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure(context)
    plain = scripted_http._server.socket  # noqa: SLF001  # the rig has no TLS
    wrapped = context.wrap_socket(plain, server_side=True)
    scripted_http._server.socket = wrapped  # noqa: SLF001  # as above
    return scripted_http, context


def _table(server, authority, **changed):
    table = {
        "url": server.url.replace("http", "https"),
        "bucket": "factory",
        "ca_file": authority.path("ca.pem"),
        "certificate_file": authority.path("bridge.pem"),
    } | changed
    return {key: value for key, value in table.items() if value is not None}


def test_a_database_with_an_authority_of_its_own_and_mutual_tls(
    mosquitto, bridge, server, authority
):
    database, _ = server
    running = bridge(mosquitto.url, influxdb=_table(database, authority))
    running.start()
    with Publisher(mosquitto) as publisher:
        for number in range(5):
            publisher.publish(TOPIC, PAYLOAD % (FIRST_S + number))
    eventually(lambda: len(database.lines) == 5)
    assert running.stop() == 0


@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
def test_check_names_the_key_that_tls_lacks(server, authority, key, launch, tmp_path):
    table = _table(server[0], authority, **{key: None})
    lines = [f'{name} = "{value}"' for name, value in table.items()]
    config = tmp_path / "bridge.toml"
    config.write_text("\n".join(["[influxdb]", *lines]))
    process = launch("egiz-bridge", "check", "--config", str(config))
    assert process.wait() == 1
    assert "WRONG influxdb.url" in process.output()
    assert f"influxdb.{key}" in process.output()


def test_a_file_that_is_no_certificate_is_named_before_the_start(
    launch, bridge, server, authority, tmp_path
):
    other = tmp_path / "text"
    other.write_text("no certificate")
    table = _table(server[0], authority, ca_file=str(other))
    running = bridge("mqtt://127.0.0.1:9", influxdb=table)
    process = launch("egiz-bridge", "run", "--config", str(running.config))
    assert process.wait() == 2
    assert f"influxdb.ca_file: {other} is not a CERTIFICATE" in process.output()
    assert "Traceback" not in process.output()


def test_replaced_certificates_are_used_without_a_restart(
    mosquitto, bridge, server, authority
):
    database, context = server
    running = bridge(mosquitto.url, influxdb=_table(database, authority))
    running.start()
    with Publisher(mosquitto) as publisher:
        publisher.publish(TOPIC, PAYLOAD % FIRST_S)
        eventually(lambda: len(database.lines) == 1)
        authority.renew()
        authority.configure(context)
        publisher.publish(TOPIC, PAYLOAD % (FIRST_S + 1))
        eventually(lambda: len(database.lines) == 2)
    assert running.stop() == 0


def test_a_retention_policy_of_influxdb_1(mosquitto, bridge, influxdb):
    influxdb.query(
        f"CREATE RETENTION POLICY century ON {influxdb.database}"
        " DURATION 5200w REPLICATION 1"
    )
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table | {"retention_policy": "century"})
    running.start()
    with Publisher(mosquitto) as publisher:
        publisher.publish(TOPIC, PAYLOAD % FIRST_S)
    eventually(lambda: running.metrics()["sink_written_total/influxdb"] == 1)
    (row,) = influxdb.query("SELECT * FROM century.telemetry")
    assert row["thermal_setpoint"] == 1
    assert influxdb.query("SELECT * FROM autogen.telemetry") == []
    assert running.stop() == 0
