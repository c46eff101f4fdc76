"""TLS and mutual TLS with the real broker; files that are replaced while it runs."""

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from egiz_bridge.cli.live import live
from egiz_bridge.mqtt.broker import Broker
from egiz_bridge.mqtt.connection import try_login
from rig import stored
from rig.process import free_port
from rig.publisher import Publisher
from rig.root_name import know_localhost_with_root
from rig.servers import Mosquitto
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.0}}'


class Factory:
    """An authority, a broker with a TLS listener, and the files of the bridge."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self.replace_authority()
        self.sign_broker("localhost", "127.0.0.1")
        self.sign_bridge(self.authority)
        self.broker = None

    def path(self, name):
        return self.directory / name

    def replace_authority(self):
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.path("ca.pem"))

    def sign_broker(self, *names, until=None):
        issued = self.authority.issue_cert(*names, not_after=until)
        issued.private_key_and_cert_chain_pem.write_to_path(self.path("broker.pem"))

    def sign_bridge(self, authority):
        issued = authority.issue_cert("egiz-bridge")
        issued.private_key_and_cert_chain_pem.write_to_path(self.path("bridge.pem"))

    def start(self, *, version="tlsv1.3", wants_certificate=True):
        self.broker = Mosquitto(
            self.directory / "mosquitto",
            f"""
            listener {self.port} 127.0.0.1
            allow_anonymous true
            cafile {self.path("ca.pem")}
            certfile {self.path("broker.pem")}
            keyfile {self.path("broker.pem")}
            tls_version {version}
            require_certificate {"true" if wants_certificate else "false"}
            """,
        )
        self.broker.start()

    def table(self, **changed):
        table = {
            "url": f"mqtts://127.0.0.1:{self.port}",
            "ca_file": str(self.path("ca.pem")),
            "certificate_file": str(self.path("bridge.pem")),
        } | changed
        return {key: value for key, value in table.items() if value is not None}


@pytest.fixture
def factory(tmp_path):
    made = Factory(tmp_path)
    yield made
    if made.broker is not None:
        made.broker.kill()


def _publish(factory, numbers):
    with Publisher(factory.broker) as publisher:
        for number in numbers:
            publisher.publish(TOPIC, PAYLOAD % (1706352600 + number))


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_mutual_tls_stores_everything(factory, bridge, version):
    factory.start(version=version)
    running = bridge("", mqtt=factory.table(), archive={})
    running.start()
    _publish(factory, range(500))
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 500)
    assert running.metrics()["mqtt_unacknowledged_messages"] == 0
    assert len(stored.in_archive(running.archive)) == 500
    assert running.stop() == 0


def test_a_queue_of_many_records_is_drained_without_further_traffic(factory, bridge):
    factory.start()
    running = bridge("", mqtt=factory.table(), archive={})
    running.start()
    assert running.stop() == 0
    _publish(factory, range(2000))  # queued: 200 KB that come in one go
    running.start()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 2000)
    assert running.metrics()["messages_received_total"] == 2000
    assert len(stored.in_archive(running.archive)) == 2000


def _output_of_check(launch, bridge, table, code=1):
    config = bridge("", mqtt=table, archive={}).config
    process = launch("egiz-bridge", "check", "--config", str(config))
    assert process.wait() == code
    assert "Traceback" not in process.output()
    return process.output()


def _yesterday():
    return datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("names", "until", "message"),
    [
        (("broker.factory",), None, "IP address mismatch"),
        (("127.0.0.1",), _yesterday(), "certificate has expired"),
    ],
)
def test_a_certificate_of_the_broker_that_is_invalid(
    factory, bridge, launch, names, until, message
):
    factory.sign_broker(*names, until=until)
    factory.start()
    output = _output_of_check(launch, bridge, factory.table())
    assert "mqtt.url: TLS: the broker's certificate: " in output
    assert message in output


@pytest.mark.parametrize("host", ["localhost", "localhost."])
def test_the_name_of_the_broker_may_be_written_with_the_root(
    factory, monkeypatch, host
):
    factory.start()
    context = ssl.create_default_context(cafile=factory.path("ca.pem"))
    context.load_cert_chain(factory.path("bridge.pem"))
    broker = Broker(host, factory.port, "egiz-bridge", tls=context)
    asked = know_localhost_with_root(monkeypatch)
    assert try_login(broker) is False
    assert set(asked) == {host}  # to look it up, the root stays
    with contextlib.closing(live([broker], retained=True)) as messages:
        assert next(messages) is None


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_broker_that_wants_a_certificate_names_the_setting(
    factory, bridge, launch, version
):
    factory.start(version=version)
    output = _output_of_check(launch, bridge, factory.table(certificate_file=None))
    assert "mqtt.certificate_file" in output


def test_a_certificate_of_an_unknown_authority_names_the_setting(
    factory, bridge, launch
):
    factory.sign_bridge(trustme.CA())
    factory.start()
    # The broker says so, and breaks off; what it says is sometimes lost.
    assert "mqtt.certificate_file" in _output_of_check(launch, bridge, factory.table())


def test_a_broker_of_an_unknown_authority_names_the_setting(
    factory, bridge, launch, tmp_path
):
    factory.start()
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    table = factory.table(ca_file=str(tmp_path / "other.pem"))
    assert "is mqtt.ca_file right?" in _output_of_check(launch, bridge, table)


def test_tls_to_a_plain_port_and_the_other_way_round(factory, bridge, launch):
    factory.start()
    table = factory.table(url=f"mqtts://127.0.0.1:{factory.broker.port}")
    assert "is mqtt:// meant?" in _output_of_check(launch, bridge, table)
    table = {"url": f"mqtt://127.0.0.1:{factory.port}"}
    assert "is mqtts:// meant?" in _output_of_check(launch, bridge, table)


@pytest.fixture
def closing_port():
    """A port that closes whatever is not MQTT, as Mosquitto 2.1 does with TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_all():
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    client, _ = server.accept()
                    client.recv(65536)
                    client.close()

        thread = threading.Thread(target=close_all)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_tls_to_a_plain_port_that_only_closes_has_the_hint_too(
    bridge, launch, closing_port
):
    table = {"url": f"mqtts://127.0.0.1:{closing_port}"}
    assert "is mqtt:// meant?" in _output_of_check(launch, bridge, table)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
@pytest.mark.parametrize("content", [None, "no PEM"])
def test_a_file_that_is_no_certificate(factory, bridge, launch, command, key, content):
    path = factory.path("file.pem")
    if content:
        path.write_text(content)
    running = bridge("", mqtt=factory.table(**{key: str(path)}), archive={})
    process = launch("egiz-bridge", command, "--config", str(running.config))
    assert process.wait() == 2
    assert f"mqtt.{key}: " in process.output()
    assert str(path) in process.output()
    assert "Traceback" not in process.output()


def test_a_new_authority_and_certificate_need_no_restart(factory, bridge):
    factory.start()
    running = bridge("", mqtt=factory.table(), archive={})
    running.start()
    _publish(factory, range(10))
    factory.broker.stop()
    factory.replace_authority()
    factory.sign_broker("127.0.0.1")
    factory.broker.start()
    # The bridge trusts the new authority already, and shows a certificate of the old.
    eventually(lambda: "mqtt.certificate_file" in running.log)
    factory.sign_bridge(factory.authority)
    eventually(lambda: running.get("/readyz")[0] == 200, timeout=40)
    _publish(factory, range(10, 20))
    eventually(lambda: len(stored.in_archive(running.archive)) == 20)
    assert running.stop() == 0


def test_a_file_that_vanishes_while_it_runs_is_logged_and_read_again(factory, bridge):
    factory.start()
    running = bridge("", mqtt=factory.table(), archive={})
    running.start()
    kept = factory.path("ca.pem").read_bytes()
    factory.path("ca.pem").unlink()
    factory.broker.kill()
    eventually(lambda: "mqtt.ca_file: cannot read" in running.log)
    factory.path("ca.pem").write_bytes(kept)
    factory.broker.start()
    eventually(lambda: running.get("/readyz")[0] == 200, timeout=40)
    assert running.stop() == 0


def test_metrics_export_when_each_certificate_expires(factory, bridge):
    soon, later = _in_days(10), _in_days(20)
    factory.sign_broker("127.0.0.1", until=soon)
    factory.start()
    running = bridge("", mqtt=factory.table(), archive={})
    running.start()
    expiry = "certificate_expiry_timestamp_seconds"
    assert running.metrics()[f"{expiry}/broker"] == soon.timestamp()
    assert running.metrics()[f"{expiry}/authority"] > later.timestamp()
    # As it is now, before anybody has connected with it.
    issued = factory.authority.issue_cert("egiz-bridge", not_after=later)
    issued.private_key_and_cert_chain_pem.write_to_path(factory.path("bridge.pem"))
    assert running.metrics()[f"{expiry}/bridge"] == later.timestamp()
    factory.path("bridge.pem").write_text("no certificate any more")
    assert f"{expiry}/bridge" not in running.metrics()


def test_without_tls_no_certificate_expires(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    assert not [name for name in running.metrics() if "certificate_expiry" in name]


def _in_days(days):
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
