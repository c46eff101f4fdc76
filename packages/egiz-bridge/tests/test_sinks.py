"""Several sinks: each on its own, each with what is meant for it."""

import pytest
from egiz_bridge.batch import Message
from egiz_bridge.errors import Unavailable
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks import line_protocol
from egiz_bridge.sinks.influxdb import InfluxdbTable
from rig import stored
from rig.publisher import Publisher
from rig.scripted_http import Answer, ScriptedHttp
from rig.waiting import eventually

TELEMETRY = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.5}}'
STATUS = b'{"device_id":"oven-001","timestamp":%d,"state":"online"}'
COMMAND = b'{"device_id":"oven-001","id":"1","action":"reboot"}'


def _publish(mosquitto, count=10):
    with Publisher(mosquitto) as publisher:
        for number in range(count):
            time_s = 1706352600 + number
            for facility in ("north", "south"):
                base = f"sensors/{facility}/oven-001"
                publisher.publish(f"{base}/telemetry", TELEMETRY % time_s)
                publisher.publish(f"{base}/status", STATUS % time_s)
                publisher.publish(f"{base}/command", COMMAND)


def test_each_sink_gets_what_is_meant_for_it(mosquitto, bridge, tmp_path):
    lines = tmp_path / "lines"
    running = bridge(
        mosquitto.url,
        archive={"kinds": ["telemetry"], "facilities": ["north"]},
        line_protocol={"path": str(lines), "kinds": ["status", "command"]},
    )
    running.start()
    _publish(mosquitto)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 60)
    archived = stored.in_archive(running.archive)
    assert len(archived) == 10
    assert {kind for kind, _, _ in archived} == {"telemetry"}
    written = lines.read_text().splitlines()
    assert sum(line.startswith("status,") for line in written) == 20
    assert sum(line.startswith("command,") for line in written) == 20
    assert len(written) == 40
    metrics = running.metrics()
    assert metrics["sink_written_total/archive"] == 10
    assert metrics["sink_written_total/line_protocol"] == 40
    # Telemetry of the south goes nowhere, and is counted.
    assert metrics["messages_skipped_total/facility_not_archived"] == 10
    assert metrics["messages_accepted_total"] == 50
    assert running.stop() == 0


def test_an_outage_of_one_sink_does_not_delay_another(
    mosquitto, bridge, scripted_http, influxdb
):
    scripted_http.answer = lambda _: Answer(500)
    tables = [
        {"name": "main", "url": influxdb.url, "api": "v1", "database": "factory"},
        {"name": "mirror", "url": scripted_http.url, "bucket": "b"},
    ]
    running = bridge(mosquitto.url, influxdb=tables, archive={})
    running.start()
    _publish(mosquitto)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 60)
    metrics = running.metrics()
    assert metrics["sink_written_total/main"] == 40
    assert metrics["sink_written_total/archive"] == 40
    assert metrics["sink_spooled/mirror"] == 40
    assert "mirror: HTTP 500" in running.get("/readyz")[1]
    assert "main" not in running.get("/readyz")[1]
    scripted_http.answer = lambda _: Answer()
    eventually(lambda: running.metrics()["sink_spooled/mirror"] == 0, timeout=30)
    assert len(scripted_http.lines) == 40


def test_lines_are_whole_and_can_be_rotated(mosquitto, bridge, tmp_path):
    path = tmp_path / "lines"
    running = bridge(mosquitto.url, line_protocol={"path": str(path)})
    running.start()
    _publish(mosquitto, 1)
    eventually(lambda: running.metrics()["sink_written_total/line_protocol"] == 4)
    path.rename(tmp_path / "lines.1")
    _publish(mosquitto, 2)
    eventually(lambda: running.metrics()["sink_written_total/line_protocol"] == 12)
    assert len((tmp_path / "lines.1").read_bytes().splitlines()) == 4
    assert len(path.read_bytes().splitlines()) == 8
    assert path.read_bytes().endswith(b"\n")


def test_a_full_disk_never_leaves_half_a_line(mosquitto, bridge):
    running = bridge(mosquitto.url, line_protocol={"path": "/dev/full"})
    running.start()
    _publish(mosquitto, 1)
    eventually(lambda: running.metrics()["sink_spooled/line_protocol"] == 4)
    assert "No space left on device" in running.log


def test_lines_on_stdout_are_a_pipe_to_anything(mosquitto, launch):
    env = {
        "EGIZ_BRIDGE_MQTT_URL": mosquitto.url,
        "EGIZ_BRIDGE_LINE_PROTOCOL_PATH": "-",
        "EGIZ_BRIDGE_HTTP_LISTEN": "127.0.0.1:0",
    }
    running = launch("egiz-bridge", "run", env=env)
    running.wait_for("subscribed")
    _publish(mosquitto, 1)
    running.wait_for("telemetry,device_id=oven-001,device_type=oven,facility=south")


@pytest.fixture
def remote_server(monkeypatch):
    """A server that is on another machine, for the sink."""
    server = ScriptedHttp()
    monkeypatch.setattr("egiz_bridge.sinks.influxdb._is_loopback", lambda _: False)
    yield server
    server.close()


def test_writes_to_another_machine_are_compressed(remote_server):
    sink = InfluxdbTable(url=remote_server.url, bucket="b").open()
    message = Message("sensors/north/oven-001/telemetry", TELEMETRY % 1706352600, 0)
    sink.write([to_row(message)] * 100)
    (request,) = remote_server.requests
    assert request.headers["Content-Encoding"] == "gzip"
    assert int(request.headers["Content-Length"]) < 500
    assert request.lines == [to_row(message).line] * 100
    sink.close()


def test_lines_in_a_file_that_was_removed_meanwhile_are_not_written(
    tmp_path, monkeypatch
):
    path = tmp_path / "lines"
    sink = line_protocol.LineProtocolSink(path)
    row = to_row(Message("sensors/a/oven-001/status", STATUS % 1706352600, 1))
    with monkeypatch.context() as patched:
        patched.setattr(line_protocol.os, "fsync", lambda _: path.unlink())
        with pytest.raises(Unavailable, match="was removed while"):
            sink.write([row])
    sink.write([row])
    assert path.read_bytes() == row.line + b"\n"
