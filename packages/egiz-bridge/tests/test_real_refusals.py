"""Refusals of real databases, and of servers that are none: what an operator sees."""

import json
import sqlite3
import time
from contextlib import closing

import pytest
from egiz_bridge.batch import Message
from egiz_bridge.errors import Rejected
from egiz_bridge.pipeline.isolation import Isolation
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.influxdb import InfluxdbTable
from rig import stored
from rig.publisher import Publisher
from rig.scripted_http import Answer
from rig.servers import VictoriaMetrics
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
NOT_HTTPS = "Client sent an HTTP request to an HTTPS server.\n"


def _now_s():
    return int(time.time())


@pytest.fixture
def publish(mosquitto):
    """`publish(times, **fields)`: a message of oven-001 at each time, in seconds."""
    with Publisher(mosquitto) as publisher:

        def send(times, **fields):
            for time_s in times:
                message = {"device_id": "oven-001", "timestamp": time_s, **fields}
                publisher.publish(TOPIC, json.dumps(message))

        yield send


@pytest.fixture
def running_with(mosquitto, bridge):
    """`running_with(table)`: a bridge with this [influxdb] table."""

    def start(table):
        running = bridge(mosquitto.url, influxdb=table)
        running.start()
        return running

    return start


@pytest.fixture
def check(launch):
    """`check(bridge)`: the exit code and what is printed."""

    def run(bridge):
        process = launch("egiz-bridge", "check", "--config", str(bridge.config))
        code = process.wait()
        return code, process.output()

    return run


def _letters(bridge):
    with closing(sqlite3.connect(bridge.spool)) as db:
        return db.execute("SELECT reason, detail FROM dead_letters").fetchall()


def _metric(bridge, name):
    return bridge.metrics()[name]


def _is_held(running, words):
    """Red, with the server's words, and nothing is a dead letter."""

    def is_held():
        status, body = running.get("/readyz")
        return status == 503 and words in body

    eventually(is_held)
    assert _metric(running, "sink_up/influxdb") == 0
    assert _metric(running, "sink_dead_total/influxdb") == 0
    assert _metric(running, "sink_unaccounted/influxdb") == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(400, NOT_HTTPS), "HTTP request to an HTTPS server"),
        (Answer(400, '{"code":"invalid","message":"no org"}'), "no org"),
        (Answer(422, "<html><h1>not <b>here</b></h1></html>"), "not here"),
        (Answer(413, "Request Entity Too Large"), "Too Large"),
    ],
)
def test_a_server_that_refuses_everything_is_red_and_holds_all(
    running_with, scripted_http, publish, check, answer, words
):
    scripted_http.answer = lambda _: answer
    running = running_with({"url": scripted_http.url, "bucket": "b", "org": "o"})
    _is_held(running, words)  # before there is any message
    begin_s = _now_s() - 100
    publish(range(begin_s, begin_s + 50), thermal={"setpoint": 1.5})
    eventually(lambda: _metric(running, "messages_acknowledged_total") == 50)
    eventually(lambda: _metric(running, "sink_spooled/influxdb") == 50)
    time.sleep(2)
    _is_held(running, words)
    code, output = check(running)
    assert code == 1
    assert "WRONG" in output
    assert words in output
    scripted_http.answer = lambda _: Answer()
    eventually(lambda: _metric(running, "sink_written_total/influxdb") == 50, 90)
    assert running.get("/readyz")[0] == 200
    assert len(scripted_http.lines) == 50
    assert running.stop() == 0


def test_a_server_that_repeats_the_password_is_not_quoted_with_it(
    mosquitto, bridge, scripted_http, check, tmp_path
):
    (tmp_path / "user").write_text("bridge:s3cret-w0rd")

    def answer(request):
        return Answer(400, f"bad header {request.headers['Authorization']} s3cret-w0rd")

    scripted_http.answer = answer
    table = {"url": scripted_http.url, "api": "v1", "database": "d"}
    running = bridge(
        mosquitto.url, influxdb={**table, "token_file": str(tmp_path / "user")}
    )
    running.start()
    eventually(lambda: "bad header Basic ***" in running.get("/readyz")[1])
    for text in (running.log, running.get("/readyz")[1], check(running)[1]):
        assert "s3cret-w0rd" not in text
        assert "YnJpZGdl" not in text  # the same in base64


def test_a_wrong_path_at_victoriametrics_is_held(
    mosquitto, bridge, victoriametrics, publish, check
):
    """It answers 400 to a path that it does not have."""
    table = {"url": f"{victoriametrics.url}/nowhere", "bucket": "b"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    publish([_now_s()], thermal={"setpoint": 1.5})
    eventually(lambda: _metric(running, "sink_spooled/influxdb") == 1)
    _is_held(running, "unsupported path requested")
    assert "unsupported path requested" in check(running)[1]


@pytest.mark.parametrize("key", ["database", "url"])
def test_a_database_or_path_that_does_not_exist_is_held(
    mosquitto, bridge, influxdb, publish, check, key
):
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    table[key] += {"database": "_nowhere", "url": "/nowhere"}[key]
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    publish([_now_s()], thermal={"setpoint": 1.5})
    eventually(lambda: _metric(running, "sink_spooled/influxdb") == 1)
    _is_held(running, "HTTP 404")
    assert check(running)[0] == 1
    if key == "database":
        influxdb.query("CREATE DATABASE factory_nowhere")
        eventually(lambda: _metric(running, "sink_written_total/influxdb") == 1, 90)


def test_influxdb_1_loses_a_field_of_another_type_and_no_message(
    mosquitto, bridge, influxdb, publish
):
    now_s = _now_s()
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    influxdb.write(b"telemetry,device_id=x-1 status_wifi_rssi=-60.5 %d000" % now_s)
    influxdb.write(b'telemetry,device_id=x-1 electrical_voltage_a="1" %d000' % now_s)
    running.start()
    times = range(now_s - 100, now_s)
    publish(
        times,
        thermal={"setpoint": 1.5},
        status={"wifi_rssi": -60},
        electrical={"voltage": {"a": 230.5, "b": 231.5}},
    )
    eventually(lambda: _metric(running, "sink_written_total/influxdb") == 100)
    metrics = running.metrics()
    assert metrics["sink_partial_total/influxdb"] == 100
    assert metrics["sink_dead_total/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0
    fields = {"thermal_setpoint": 1.5, "electrical_voltage_b": 231.5}
    found = stored.in_influxdb(influxdb)
    assert {
        time_ms: kept for (_, device, time_ms), kept in found.items() if device != "x-1"
    } == {time_s * 1000: fields for time_s in times}
    letters = _letters(running)
    assert len(letters) == 100
    for reason, detail in letters:
        assert reason == "field_type_conflict"
        assert "$.electrical.voltage.a, $.status.wifi_rssi refused, the rest" in detail
    assert running.get("/readyz")[0] == 200


def test_influxdb_1_does_not_name_a_conflict_within_a_batch(influxdb):
    """Of a batch with both it stores nothing, and says only that there is one."""
    sink = InfluxdbTable(url=influxdb.url, api="v1", database=influxdb.database).open()
    answers, letters = [], []

    class Recorded:
        def write(self, rows):
            try:
                sink.write(rows)
            except Rejected as error:
                answers.append(str(error))
                raise

    def command(number, value):
        message = {"device_id": "oven-001", "id": str(number), "action": "x"}
        payload = json.dumps(message | {"args": {"a": value}}).encode()
        received_ms = (_now_s() - 100 + number) * 1000
        return to_row(Message("sensors/factory/oven-001/command", payload, received_ms))

    rows = [command(number, True if number % 3 else 1.5) for number in range(60)]
    outcome = Isolation(Recorded(), letters.extend, lambda: None, lambda _: None).write(
        rows
    )
    sink.close()
    assert answers[0] == "HTTP 400: field type conflict"
    assert (outcome.written, outcome.dead, outcome.rest) == (60, 0, [])
    assert len(influxdb.query("SELECT * FROM command")) == 60
    assert outcome.partial == len(letters) in (20, 40)  # of the type that came second
    for letter in letters:
        assert letter.detail.startswith("$.args.a refused, the rest is written")


def test_influxdb_1_with_points_beyond_its_retention(
    mosquitto, bridge, influxdb, publish
):
    policy = "RETENTION POLICY h ON factory DURATION 1h REPLICATION 1"
    influxdb.query(f"CREATE {policy} DEFAULT")
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    now_s = _now_s()
    old = range(now_s - 10 * 86400, now_s - 10 * 86400 + 200)
    new = range(now_s - 50, now_s)
    publish(
        [time_s for pair in zip(old, [*new] * 4, strict=True) for time_s in pair],
        thermal={"setpoint": 1.5},
    )
    eventually(lambda: _metric(running, "messages_acknowledged_total") == 400)
    eventually(lambda: _metric(running, "sink_dead_total/influxdb") == 200)
    assert _metric(running, "sink_written_total/influxdb") == 200
    found = {time_ms for _, _, time_ms in stored.in_influxdb(influxdb)}
    assert found == {time_s * 1000 for time_s in new}
    assert {reason for reason, _ in _letters(running)} == {"beyond_retention"}
    assert running.get("/readyz")[0] == 200


class _OneDay(VictoriaMetrics):
    def _command(self):
        return [*super()._command(), "-retentionPeriod=1d"]


def test_what_victoriametrics_swallows(mosquitto, bridge, publish, tmp_path):
    """It answers 204 to texts and to what is beyond its retention: see the README."""
    server = _OneDay(tmp_path / "victoriametrics")
    server.start()
    running = bridge(mosquitto.url, influxdb={"url": server.url, "bucket": "b"})
    running.start()
    now_s = _now_s()
    publish(
        [now_s - 10, now_s - 40 * 86400],
        thermal={"setpoint": 1.5},
        status={"operational_state": "running", "wifi_rssi": -60},
    )
    eventually(lambda: _metric(running, "sink_written_total/influxdb") == 2)
    assert stored.in_victoriametrics(server) == {
        ("telemetry", "oven-001", (now_s - 10) * 1000): {
            "thermal_setpoint": 1.5,
            "status_wifi_rssi": -60,
            "status_operational_state": 0,
        }
    }
    assert _metric(running, "sink_dead_total/influxdb") == 0
    server.kill()
