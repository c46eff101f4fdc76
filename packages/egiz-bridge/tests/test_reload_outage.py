"""SIGHUP in an outage: what waits for a sink goes on, wherever that is now."""

import fcntl
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from rig.process import own_program
from rig.publisher import Publisher
from rig.scripted_http import Answer, ScriptedHttp
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.0}}'
COUNT = 20


@pytest.fixture
def other_database():
    server = ScriptedHttp()
    yield server
    server.close()


@pytest.fixture
def running(mosquitto, bridge, scripted_http, tmp_path):
    """A bridge with an archive and a database that refuses, its spool on a disk."""
    (tmp_path / "disk").mkdir()
    scripted_http.answer = lambda _: Answer(503)
    made = bridge(
        mosquitto.url,
        archive={},
        influxdb={"url": scripted_http.url, "bucket": "b"},
        spool={"path": str(tmp_path / "disk" / "spool.sqlite")},
    )
    made.start()
    eventually(lambda: made.metrics()["sink_written_total/archive"] == 0)
    return made


def _publish(mosquitto, first=0):
    with Publisher(mosquitto) as publisher:
        for number in range(first, first + COUNT):
            publisher.publish(TOPIC, PAYLOAD % (1706352600 + number))


def _reload(running, text):
    reloads = running.log.count("event=reloaded")
    running.config.write_text(text)
    running.process.signal(signal.SIGHUP)
    eventually(lambda: running.log.count("event=reloaded") > reloads)


def _acknowledged(running):
    return running.metrics()["messages_acknowledged_total"]


def _wedge(running, mosquitto, tmp_path):
    """Neither the database nor the spool accepts what comes."""
    (tmp_path / "disk").rename(tmp_path / "away")
    eventually(lambda: running.metrics()["spool_up"] == 0)
    _publish(mosquitto)
    eventually(lambda: running.metrics()["sink_written_total/archive"] == COUNT)
    assert _acknowledged(running) == 0


def test_what_a_sink_could_not_store_is_written_by_the_one_that_replaces_it(
    running, mosquitto, scripted_http, other_database, tmp_path
):
    _wedge(running, mosquitto, tmp_path)
    text = running.config.read_text()
    _reload(running, text.replace(scripted_http.url, other_database.url))
    eventually(lambda: _acknowledged(running) == COUNT)
    assert len(other_database.lines) == COUNT
    metrics = running.metrics()
    assert metrics["sink_written_total/influxdb"] == COUNT
    assert metrics["sink_in_flight/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0
    assert running.stop() == 0


def test_what_a_removed_sink_could_not_store_holds_no_acknowledgement(
    running, mosquitto, tmp_path
):
    _wedge(running, mosquitto, tmp_path)
    table = running.config.read_text().index("[influxdb]")
    _reload(running, running.config.read_text()[:table])
    eventually(lambda: _acknowledged(running) == COUNT)
    assert f"messages={COUNT}" in running.log
    _publish(mosquitto, COUNT)
    eventually(lambda: _acknowledged(running) == 2 * COUNT)
    assert running.stop() == 0


def test_a_removed_sink_keeps_readiness_red_no_longer(running, mosquitto):
    _publish(mosquitto)
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == COUNT)
    assert "influxdb: HTTP 503" in running.get("/readyz")[1]
    table = running.config.read_text().index("[influxdb]")
    _reload(running, running.config.read_text()[:table])
    eventually(lambda: running.get("/readyz")[0] == 200)
    metrics = running.metrics()
    assert "sink_up/influxdb" not in metrics
    assert metrics["sink_spooled/influxdb"] == 0
    assert metrics["sink_set_aside_total/influxdb"] == COUNT
    assert metrics["sink_unaccounted/influxdb"] == 0


def test_a_reload_waits_for_a_log_that_is_not_read_and_then_goes_on(
    mosquitto, bridge, tmp_path
):
    """A handler that logged would wait for the lock of the log line it interrupted."""
    running = bridge(mosquitto.url, archive={})
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [own_program("egiz-bridge"), "run", "--config", str(running.config)]
    with subprocess.Popen(command, stderr=writer, cwd=tmp_path) as process:
        os.close(writer)
        eventually(lambda: running.metrics()["mqtt_connected"])
        for _ in range(100):  # a line of 100 bytes each, and more signals than lines
            process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        with os.fdopen(reader, "rb") as log:
            drain = threading.Thread(target=log.read)
            drain.start()
            _publish(mosquitto)
            eventually(lambda: _acknowledged(running) == COUNT)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            drain.join(60)


def test_a_bridge_without_a_free_file_connects_again_when_there_is_one(
    mosquitto, bridge
):
    running = bridge(mosquitto.url, archive={})
    running.start()
    pid = running.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    mosquitto.kill()
    eventually(lambda: not running.metrics()["mqtt_connected"])
    # What a connection attempt or a scrape opens for a moment does not count.
    files = Path(f"/proc/{pid}/fd")
    open_files = min(len(list(files.iterdir())) for _ in range(50))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files - 2, limits[1]))
    eventually(lambda: "Too many open files" in running.log)
    mosquitto.start()
    time.sleep(2)
    assert running.process.is_running()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    eventually(lambda: running.metrics()["mqtt_connected"])
    _publish(mosquitto)
    eventually(lambda: _acknowledged(running) == COUNT)
