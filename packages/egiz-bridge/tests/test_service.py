"""The bridge as a service: start, readiness, check, stop."""

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from egiz_bridge.backoff import FLOOR_S
from rig import stored
from rig.process import free_port
from rig.publisher import Publisher
from rig.scripted_http import Answer
from rig.servers import Mosquitto
from rig.waiting import eventually

PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.0}}'
KEYS = ("mqtt.url", "influxdb.url", "archive.path", "spool.path")
TOPIC = "sensors/factory/oven-001/telemetry"


def _publish(broker, count):
    with Publisher(broker) as publisher:
        for number in range(count):
            publisher.publish(TOPIC, PAYLOAD % (1706352600 + number))


def test_a_broker_that_is_away_is_logged_once_and_tried_again(mosquitto, bridge):
    mosquitto.stop()
    running = bridge(mosquitto.url, archive={})
    running.start(wait=False)
    eventually(lambda: running.get("/readyz")[0] == 503)
    assert "mqtt: not subscribed" in running.get("/readyz")[1]
    assert running.get("/healthz")[0] == 200
    eventually(lambda: "no connection to the broker; retrying" in running.log)
    assert f"broker={mosquitto.url}" in running.log
    assert "refused" in running.log
    mosquitto.start()
    eventually(lambda: running.get("/readyz")[0] == 200)
    assert running.log.count("retrying") <= 4  # not one for each attempt
    assert running.stop() == 0


def test_a_database_that_is_away_is_logged_and_tried_again(mosquitto, bridge, influxdb):
    influxdb.stop()
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    _publish(mosquitto, 20)
    eventually(lambda: "sink outage: writes fail; spooling" in running.log)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 20)
    assert running.get("/readyz")[0] == 503
    influxdb.start()
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 20, timeout=30)
    eventually(lambda: running.get("/readyz")[0] == 200)
    assert "sink outage is over" in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_stores_and_acknowledges_what_was_received(mosquitto, bridge, number):
    running = bridge(mosquitto.url, archive={})
    running.start()
    _publish(mosquitto, 30)
    eventually(lambda: running.metrics()["messages_received_total"] == 30)
    # Within the 250 ms of the batch: not all of it is stored yet.
    running.process.signal(number)
    assert running.process.wait() == 0
    assert len(stored.in_archive(running.archive)) == 30
    assert "received=30 acknowledged=30" in running.log


def test_without_any_configuration_it_archives_here(tmp_path, launch, mosquitto):
    # localhost:1883 is in use on some machines, so only the broker is set.
    listen = f"127.0.0.1:{free_port()}"
    env = {"EGIZ_BRIDGE_MQTT_URL": mosquitto.url, "EGIZ_BRIDGE_HTTP_LISTEN": listen}
    running = launch("egiz-bridge", "run", env=env)
    running.wait_for("subscribed")
    _publish(mosquitto, 3)
    archive = tmp_path / "egiz-archive.sqlite"
    eventually(lambda: archive.exists() and len(stored.in_archive(archive)) == 3)
    assert running.terminate() == 0


def test_a_port_in_use_is_an_error_that_names_its_key(mosquitto, bridge):
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        port = in_use.getsockname()[1]
        http = {"listen": f"127.0.0.1:{port}"}
        running = bridge(mosquitto.url, archive={}, http=http)
        running.start(wait=False)
        assert running.process.wait() == 2
    assert f"http.listen: 127.0.0.1:{port}" in running.log
    assert "Traceback" not in running.log


def _check(launch, config: Path):
    process = launch("egiz-bridge", "check", "--config", str(config))
    return process.wait(), process.output()


def test_check_tries_everything_and_touches_nothing(
    launch, mosquitto, bridge, influxdb
):
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table, archive={})
    code, output = _check(launch, running.config)
    assert code == 0, output
    for key in (
        "mqtt.url",
        "influxdb.url",
        "archive.path",
        "spool.path",
        "http.listen",
    ):
        assert f"ok    {key}" in output
    assert not running.archive.exists()
    assert influxdb.query("SHOW MEASUREMENTS") == []


def test_check_beside_a_running_bridge_accepts_its_port(mosquitto, bridge, launch):
    running = bridge(mosquitto.url, archive={})
    running.start()
    code, output = _check(launch, running.config)
    assert code == 0, output
    assert "ok    http.listen" in output


def test_check_names_the_key_of_each_problem(launch, mosquitto, bridge, tmp_path):
    mosquitto.stop()
    running = bridge(
        mosquitto.url,
        influxdb={"url": f"http://127.0.0.1:{free_port()}", "bucket": "b"},
        archive={"path": str(tmp_path / "none" / "archive.sqlite")},
        spool={"path": str(tmp_path / "missing" / "spool.sqlite")},
    )
    code, output = _check(launch, running.config)
    assert code == 1
    for key in KEYS:
        assert f"WRONG {key}" in output
        assert f"\n{key}: " in output
    assert "ok    http.listen" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mqtt", "bridge.toml"),
        ('[mqtt]\nurll = "x"\n', "mqtt.urll"),
        ('[mqtt]\nurl = "http://x"\n', "mqtt.url"),
        ('[mqtt]\nurl = "mqtt://u:Secret@x"\n', "mqtt.url"),
        ('[mqtt]\nusername="u"\npassword_file = "/nowhere"\n', "mqtt.password_file"),
        ("[spool]\nmax_bytes = 1\n", "spool.max_bytes"),
        ('[influxdb]\nurl = "http://x"\n', "influxdb"),
        ('[archive]\nretention_days = "soon"\n', "archive.retention_days"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_file_is_an_error_that_names_its_key_with_exit_code_2(
    launch, tmp_path, command, text, message
):
    config = tmp_path / "bridge.toml"
    config.write_text(text)
    process = launch("egiz-bridge", command, "--config", str(config))
    assert process.wait() == 2
    assert message in process.output()
    assert "Traceback" not in process.output()
    assert "Secret" not in process.output()


def test_help_explains_every_key(launch):
    process = launch("egiz-bridge", "run", "--help")
    assert process.wait() == 0
    for key in ("mqtt.url", "influxdb.token_file", "archive.retention_days"):
        assert key in process.output()
    assert "EGIZ_BRIDGE_MQTT_URL" in process.output()


def test_a_broker_of_3_1_1_alone_gets_3_1_1(bridge, mosquitto):
    """Each way in which such a broker may answer a CONNECT of MQTT 5."""
    for refuse in (lambda s: s.sendall(b"\x20\x02\x00\x01"), lambda s: s.close()):
        with _Old(mosquitto, refuse) as old:
            running = bridge(f"mqtt://127.0.0.1:{old.port}", archive={})
            running.start()
            # Its metrics say that it is subscribed before its log does.
            eventually(lambda r=running: "mqtt=4" in r.log)
            _publish(mosquitto, 5)
            eventually(lambda r=running: r.metrics()["sink_written_total/archive"] == 5)
            assert running.stop() == 0


class _Old:
    """A proxy that turns CONNECTs of MQTT 5 away."""

    def __init__(self, broker: Mosquitto, refuse) -> None:
        self._broker = broker
        self._refuse = refuse
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            connect = client.recv(4096)
            if connect[8] == 5:
                self._refuse(client)
                client.close()
                continue
            onward = socket.create_connection((self._broker.host, self._broker.port))
            onward.sendall(connect)
            for pair in ((client, onward), (onward, client)):
                thread = threading.Thread(target=_copy, args=pair)
                thread.start()
                self._threads.append(thread)


def _copy(source, target):
    with source, contextlib.suppress(OSError):  # until one of them breaks
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


def test_a_session_that_the_broker_lost_is_logged_and_counted(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    assert running.stop() == 0
    running.start()  # the session is still there
    assert running.metrics()["mqtt_sessions_lost_total"] == 0
    running.kill()
    mosquitto.stop()
    (mosquitto.directory / "mosquitto.db").unlink()
    mosquitto.start()
    running.start()
    assert running.metrics()["mqtt_sessions_lost_total"] == 1
    assert "session lost at the broker" in running.log


def test_what_the_broker_sends_again_is_counted_and_is_no_second_point(
    mosquitto, bridge
):
    running = bridge(mosquitto.url, archive={})
    running.start()
    with stored.locked(running.archive), stored.locked(running.spool):
        _publish(mosquitto, 20)
        eventually(lambda: running.metrics()["mqtt_unacknowledged_messages"] == 20)
        running.kill()
    running.start()
    eventually(lambda: running.metrics()["messages_redelivered_total"] == 20)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 20)
    assert len(stored.in_archive(running.archive)) == 20


def test_probe_says_whether_the_bridge_is_ready(
    mosquitto, bridge, launch, scripted_http
):
    scripted_http.answer = lambda _: Answer(503)
    running = bridge(mosquitto.url, influxdb={"url": scripted_http.url, "bucket": "b"})

    def probed(*options):
        file = str(running.config)
        ended = launch("egiz-bridge", "probe", "--config", file, *options)
        return ended.wait(), ended.output()

    code, output = probed()
    assert code == 1
    assert "http.listen: no bridge answers" in output
    running.start()
    eventually(lambda: "influxdb: HTTP 503" in probed()[1], timeout=30)
    assert probed()[0] == 1
    assert probed("--alive") == (0, "all is well\n")
    scripted_http.answer = lambda _: Answer()
    eventually(lambda: probed() == (0, "all is well\n"), timeout=60)
    running.config.write_text("[mqtt]\nurl = 1\n")
    assert probed()[0] == 2


CONNACK_5, SUBACK_5 = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01"


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (b"\x30\xff\xff\xff\xff\x01", "malformed length"),
        (b"\x32\x01\x00", "without all its parts"),
        (b"\x90\xff\xff\xff\x7f", "sent a packet of"),
        (b"\xe0\x00", "disconnected"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20, "a packet of type 4"),
    ],
)
def test_a_hostile_broker_is_tried_again_with_backoff(bridge, hostile, message):
    """It answers the handshake, then sends nonsense; every time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = bridge(f"mqtt://127.0.0.1:{server.getsockname()[1]}", archive={})
        running.start(wait=False)
        server.settimeout(30)
        begun = 0.0
        for _ in range(5):
            with server.accept()[0] as client:
                begun = begun or time.monotonic()
                client.settimeout(30)
                client.recv(4096)
                client.sendall(CONNACK_5)
                client.recv(4096)
                client.sendall(SUBACK_5 + hostile)
                with contextlib.suppress(ConnectionError):
                    assert client.recv(4096) == b""  # it breaks off
        # Full jitter promises the floor only; test_backoff.py has what it draws from.
        assert time.monotonic() - begun > 4 * FLOOR_S
    assert message in running.log
    assert "Traceback" not in running.log
    assert running.get("/healthz")[0] == 200
    assert running.stop() == 0


def test_a_silent_broker_does_not_delay_a_stop(
    bridge,
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = bridge(f"mqtt://127.0.0.1:{server.getsockname()[1]}", archive={})
        running.start(wait=False)
        with server.accept()[0]:
            begun = time.monotonic()
            assert running.stop() == 0
    assert time.monotonic() - begun < 15
