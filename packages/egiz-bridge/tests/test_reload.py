"""SIGHUP: another configuration, and nothing is lost on the way."""

import re
import signal
import threading
import time
from pathlib import Path

import pytest
from rig import stored
from rig.process import Process, own_program
from rig.publisher import Publisher
from rig.servers import Mosquitto
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.0}}'


@pytest.fixture
def stream(mosquitto):
    """`finish = stream()` begins to publish; `finish()` gives how many it were."""
    stop = threading.Event()
    published = []

    def publish():
        with Publisher(mosquitto) as publisher:
            while not stop.is_set():
                publisher.publish(TOPIC, PAYLOAD % (1706352600 + len(published)))
                published.append(1)
                stop.wait(0.002)

    thread = threading.Thread(target=publish)

    def start():
        thread.start()
        return finish

    def finish():
        stop.set()
        thread.join()
        return len(published)

    yield start
    if thread.is_alive():
        finish()


def _reload(running, text):
    reloads = running.log.count("reloaded")
    running.config.write_text(text)
    running.process.signal(signal.SIGHUP)
    eventually(lambda: running.log.count("reloaded") > reloads)


def _received(running, count):
    eventually(lambda: running.metrics()["messages_received_total"] >= count)


def test_sinks_come_and_go_without_a_loss(mosquitto, bridge, influxdb, stream):
    running = bridge(mosquitto.url, archive={})
    running.start()
    finish = stream()
    only_archive = running.config.read_text()
    table = f'[influxdb]\nurl="{influxdb.url}"\napi="v1"\ndatabase="factory"\n'
    both = only_archive + table
    _received(running, 50)
    _reload(running, both)
    _received(running, 100)
    eventually(lambda: running.metrics()["sink_written_total/influxdb"] > 0)
    _reload(running, only_archive)
    _received(running, 150)
    _reload(running, both)
    _received(running, 200)
    count = finish()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == count)
    metrics = running.metrics()
    assert metrics["mqtt_connections_total"] == 1  # the session went on
    assert metrics["sink_written_total/archive"] == count
    assert len(stored.in_archive(running.archive)) == count
    in_influxdb = len(stored.in_influxdb(influxdb))
    assert metrics["sink_written_total/influxdb"] == in_influxdb
    assert 0 < in_influxdb < count
    for sink in ("archive", "influxdb"):
        assert metrics[f"sink_unaccounted/{sink}"] == 0
    assert running.stop() == 0


def test_a_sink_that_changes_keeps_its_backlog(mosquitto, bridge, influxdb, stream):
    """The new server gets what the old one never stored: each message once."""
    running = bridge(
        mosquitto.url,
        influxdb={"url": "http://127.0.0.1:1", "api": "v1", "database": "factory"},
    )
    running.start()
    finish = stream()
    _received(running, 50)
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] > 0)
    text = running.config.read_text()
    _reload(running, text.replace("http://127.0.0.1:1", influxdb.url))
    _received(running, 100)
    count = finish()

    def is_written():
        return running.metrics()["sink_written_total/influxdb"] == count

    eventually(is_written, timeout=40)
    assert len(stored.in_influxdb(influxdb)) == count
    assert running.metrics()["sink_unaccounted/influxdb"] == 0
    assert running.stop() == 0


def test_a_changed_broker_url_moves_the_bridge_without_a_loss(
    mosquitto, bridge, tmp_path
):
    running = bridge(mosquitto.url, archive={})
    running.start()
    other = Mosquitto(tmp_path / "other")
    other.start()
    try:
        with Publisher(mosquitto) as publisher:
            publisher.publish(TOPIC, PAYLOAD % 1706352600)
        _received(running, 1)  # else it waits at the broker that is left
        text = running.config.read_text()
        _reload(running, text.replace(mosquitto.url, other.url))
        eventually(lambda: running.metrics()["mqtt_connections_total"] == 2)
        with Publisher(other) as publisher:
            publisher.publish(TOPIC, PAYLOAD % 1706352601)
        eventually(lambda: running.metrics()["messages_acknowledged_total"] == 2)
    finally:
        other.kill()
    assert len(stored.in_archive(running.archive)) == 2


def test_a_wrong_configuration_changes_nothing(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    running.config.write_text(running.config.read_text() + "[mqqt]\n")
    running.process.signal(signal.SIGHUP)
    eventually(lambda: "reload refused: configuration error" in running.log)
    assert "mqqt: no such key; is mqtt meant?" in running.log
    with Publisher(mosquitto) as publisher:
        publisher.publish(TOPIC, PAYLOAD % 1706352600)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)


def test_a_table_that_needs_a_restart_is_logged(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    text = running.config.read_text().replace("spool.sqlite", "other.sqlite")
    _reload(running, text)
    assert "reload incomplete: this table needs a restart" in running.log
    assert "table=spool" in running.log


def _handles_sighup(pid):
    """Whether the process has a handler of its own; before, the kernel ends it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\s+(\w+)$", status, re.MULTILINE)[1], 16)
    return caught & 1 << signal.SIGHUP - 1


def test_a_sighup_while_it_starts_ends_nothing_and_is_not_forgotten(mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start(wait=False)
    eventually(lambda: _handles_sighup(running.process.pid))
    assert not running.log  # it has not begun to read its configuration
    for _ in range(20):
        running.process.signal(signal.SIGHUP)
        time.sleep(0.05)
    running.process.wait_until(lambda: running.metrics()["mqtt_connected"])
    eventually(lambda: "event=reloaded" in running.log)
    assert running.stop() == 0


def test_a_sighup_while_workers_start_ends_nothing(mosquitto, bridge):
    running = bridge(
        "", mqtt={"url": mosquitto.url, "facilities": ["north", "south"]}, archive={}
    )
    command = [own_program("egiz-bridge"), "run", "--workers", "2"]
    command += ["--config", str(running.config)]
    process = Process(command, running.directory / "log")
    process.wait_until(lambda: _handles_sighup(process.pid))
    while running.log.count("event=subscribed") < 2:
        assert process.is_running(), process.output()
        process.signal(signal.SIGHUP)
        time.sleep(0.02)
    assert process.terminate() == 0
