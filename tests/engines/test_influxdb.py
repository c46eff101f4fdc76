"""InfluxDB 2.8, with tokens that infra/influxdb/tokens.sh has made."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from rig import stored
from rig.publisher import Publisher
from rig.servers import REPOSITORY
from rig.waiting import eventually

from engines.brokers import SafeMosquitto, mosquitto_of
from engines.conservation import is_conserved
from engines.influxdb import InfluxDb2

TOPIC = "sensors/factory/oven-001/telemetry"
WRITTEN = "sink_written_total/influxdb"


@pytest.fixture
def database(tmp_path, started):
    return started(InfluxDb2(tmp_path / "influxdb"))


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


def _letters(running):
    with closing(sqlite3.connect(running.spool)) as spool:
        return spool.execute("SELECT reason, detail FROM dead_letters").fetchall()


def test_the_database_the_broker_and_the_bridge_are_killed(
    tmp_path, monkeypatch, database, started, bridge, fleet
):
    monkeypatch.setenv("PATH", mosquitto_of("sid", tmp_path / "bin"))
    broker = started(SafeMosquitto(tmp_path / "broker"))
    running = bridge(broker.url, influxdb=database.table)
    running.start()
    published = fleet(broker.url)
    for seconds, part in [(4, database), (8, broker), (12, running), (16, database)]:
        published.until(seconds)
        part.kill()
        published.until(seconds + 1)
        part.start()

    def read():
        return stored.in_influxdb(database)

    is_conserved("InfluxDB 2.8", published, running, read)


UNKNOWN = "unkn0wn-s3cret"
REFUSED = {
    "a token that may only read": "HTTP 403",
    "no token": "HTTP 401",
    "a token that it does not know": "HTTP 401",
    "no org": "HTTP 400",
    "another org": "HTTP 404",
    "another bucket": "HTTP 404",
}


@pytest.fixture(params=REFUSED)
def refused(request, database, tmp_path):
    """(table, words): what cannot be written, and how InfluxDB says so."""
    (tmp_path / "unknown").write_text(UNKNOWN)
    change = {
        "a token that may only read": {"token_file": str(database.read_token)},
        "no token": {"token_file": None},
        "a token that it does not know": {"token_file": str(tmp_path / "unknown")},
        "no org": {"org": ""},
        "another org": {"org": "other"},
        "another bucket": {"bucket": "other"},
    }[request.param]
    table = database.table | change
    given = {key: value for key, value in table.items() if value is not None}
    return given, REFUSED[request.param]


def test_what_is_refused_for_its_rights_is_held_and_check_says_why(
    database, refused, running_with, publish, launch
):
    table, words = refused
    running = running_with(table)
    publish([int(time.time())], thermal={"setpoint": 1.5})
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 1)
    assert running.metrics()["sink_dead_total/influxdb"] == 0
    eventually(lambda: words in running.get("/readyz")[1])
    assert running.get("/readyz")[0] == 503
    check = launch("egiz-bridge", "check", "--config", str(running.config))
    assert check.wait() == 1
    (wrong,) = [line for line in check.output().splitlines() if "WRONG" in line]
    assert wrong.startswith("WRONG influxdb.url")
    assert words in check.output()
    for secret in (UNKNOWN, database.read_token.read_text()):
        assert secret not in check.output() + running.log


def test_a_token_may_do_what_it_is_for_and_no_more(database, running_with, publish):
    running = running_with(database.table)
    publish([int(time.time())], thermal={"setpoint": 1.5})
    eventually(lambda: running.metrics()[WRITTEN] == 1)
    assert len(stored.in_influxdb(database)) == 1  # the reader reads
    database.read_token.write_text(database.write_token.read_text())
    with pytest.raises(AssertionError, match="database not found"):
        database.query("SELECT * FROM telemetry")


def test_a_new_token_replaces_the_old_one_while_the_bridge_runs(
    tmp_path, database, running_with, publish
):
    token_file = tmp_path / "token"
    token_file.write_text("0ld")
    running = running_with({**database.table, "token_file": str(token_file)})
    publish([int(time.time())], thermal={"setpoint": 1.5})
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 1)
    database.make_tokens()
    token_file.write_text(database.write_token.read_text())
    eventually(lambda: running.metrics()[WRITTEN] == 1, 90)
    eventually(lambda: running.get("/readyz")[0] == 200)


def test_a_field_of_another_type_costs_that_field_and_no_message(
    database, running_with, publish
):
    now_s = int(time.time())
    running = running_with(database.table)
    publish([now_s - 1000], thermal={"setpoint": 1.5})
    eventually(lambda: running.metrics()[WRITTEN] == 1)
    # Another program has written a text where the contract has a number.
    database.write(b'telemetry,device_id=x-1 electrical_voltage_a="1" %d000' % now_s)
    times = range(now_s - 100, now_s)
    voltage = {"voltage": {"a": 230.5, "b": 231.5}}
    publish(times, thermal={"setpoint": 1.5}, electrical=voltage)
    eventually(lambda: running.metrics()[WRITTEN] == 101)
    metrics = running.metrics()
    assert metrics["sink_partial_total/influxdb"] == 100
    assert metrics["sink_dead_total/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0
    fields = {"thermal_setpoint": 1.5, "electrical_voltage_b": 231.5}
    found = stored.in_influxdb(database)
    assert {
        time_ms: kept
        for (_, device, time_ms), kept in found.items()
        if device != "x-1" and time_ms >= times[0] * 1000
    } == {time_s * 1000: fields for time_s in times}
    letters = _letters(running)
    assert len(letters) == 100
    for reason, detail in letters:
        assert reason == "field_type_conflict"
        assert "$.electrical.voltage.a refused, the rest" in detail
    assert running.get("/readyz")[0] == 200


def test_points_beyond_its_retention_are_dead_letters_and_the_others_are_stored(
    tmp_path, started, running_with, publish
):
    database = started(InfluxDb2(tmp_path / "short", retention_s=3600))
    running = running_with(database.table)
    now_s = int(time.time())
    old = range(now_s - 10 * 86400, now_s - 10 * 86400 + 200)
    new = range(now_s - 200, now_s)
    both = [time_s for pair in zip(old, new, strict=True) for time_s in pair]
    publish(both, thermal={"setpoint": 1.5})
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 400)
    eventually(lambda: running.metrics()["sink_dead_total/influxdb"] == 200)
    assert running.metrics()[WRITTEN] == 200
    found = {time_ms for _, _, time_ms in stored.in_influxdb(database)}
    assert found == {time_s * 1000 for time_s in new}
    assert {reason for reason, _ in _letters(running)} == {"beyond_retention"}
    assert running.get("/readyz")[0] == 200


ON_THE_DATABASE = "query or choice or answers or channels or served"


@pytest.mark.timeout(900)
def test_every_query_of_the_dashboards_is_answered():
    chosen = ("--influxdb=2", "-k", ON_THE_DATABASE, "tests/infra/test_grafana.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *chosen],
        cwd=REPOSITORY,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
