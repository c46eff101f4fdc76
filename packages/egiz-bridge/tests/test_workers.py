"""Several bridges that share the facilities of a factory."""

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from egiz_bridge import workers
from egiz_bridge.config.settings import load
from egiz_bridge.errors import ConfigError
from egiz_bridge.observe.systemd import Notifier
from prometheus_client.parser import text_string_to_metric_families
from rig import stored
from rig.process import Process, free_port, own_program
from rig.publisher import Publisher
from rig.waiting import eventually

BEGIN_S = 1706352600
FACILITIES = ("north", "south", "east")


def test_each_shard_has_its_part_and_files_of_its_own(tmp_path, monkeypatch):
    file = tmp_path / "bridge.toml"
    file.write_text(
        '[mqtt]\nfacilities = ["north", "south", "east"]\n'
        '[archive]\npath = "a.sqlite"\n[line_protocol]\npath = "-"\n'
        '[spool]\npath = "/var/s.sqlite"\n[http]\nlisten = "[::1]:9471"\n'
    )
    found = []
    for shard in ("1/2", "2/2"):
        monkeypatch.setenv("EGIZ_BRIDGE_SHARD", shard)
        one = load(file)
        paths = (
            str(one.archive.path),
            str(one.spool.path),
            str(one.line_protocol.path),
        )
        found.append((one.mqtt.client_id, one.mqtt.facilities, *paths, one.http.listen))
    assert found == [
        (
            *("egiz-bridge-1", ("north", "east"), "a-1.sqlite", "/var/s-1.sqlite"),
            *("-", "[::1]:9471"),
        ),
        (
            *("egiz-bridge-2", ("south",), "a-2.sqlite", "/var/s-2.sqlite"),
            *("-", "[::1]:9472"),
        ),
    ]


@pytest.mark.parametrize(
    ("shard", "problem"),
    [
        ("1/2", "mqtt.facilities: 2 bridges need as many to share, here are 0"),
        ("3/2", "shard (EGIZ_BRIDGE_SHARD): I must be from 1 to N"),
        ("half", "shard (EGIZ_BRIDGE_SHARD): must be I/N, as 1/2"),
    ],
)
def test_a_shard_that_cannot_be_is_an_error(monkeypatch, shard, problem):
    monkeypatch.setenv("EGIZ_BRIDGE_SHARD", shard)
    with pytest.raises(ConfigError) as caught:
        load(None)
    assert caught.value.problems == [problem]


@pytest.fixture
def team(mosquitto, influxdb, bridge):
    """`team(workers)` runs as many; ended with the test."""
    table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
    # Now, when the servers have theirs: one for each worker.
    port = free_port(in_a_row=2)
    http = {"listen": f"127.0.0.1:{port}"}
    made = bridge(mosquitto.url, influxdb=table, http=http)
    text = made.config.read_text()
    text = text.replace("[mqtt]\n", f"[mqtt]\nfacilities = {list(FACILITIES)}\n")
    made.config.write_text(text)

    made.port = port

    def begin(workers):
        command = [own_program("egiz-bridge"), "run", "--config", str(made.config)]
        command += ["--workers", str(workers)]
        log = made.directory / "log"
        wanted = workers + (made.log.count("event=subscribed") if log.exists() else 0)
        made.process = Process(command, log)
        eventually(lambda: made.log.count("event=subscribed") == wanted, timeout=30)
        return made

    return begin


def test_a_status_of_any_length_and_language_ends_no_worker(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: None)
    worker = workers.Worker(None, 1, 1, tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "1"))
    notifier = Notifier()
    for start in ("", "x", "xx"):  # wherever a character is cut
        notifier.send(f"STATUS={start}{'база данных недоступна ' * 4000}", "READY=1")
        notifier.status(f"{start}{'база данных недоступна ' * 4000}")
        worker.listen()
        assert worker.status.startswith(f"{start}база данных")
        assert 1000 <= len(worker.status) < 1010
    worker._notify_socket.close()  # noqa: SLF001  # there is no process to be closed


def _received(running, worker):
    port = running.port + worker - 1
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as got:
        families = text_string_to_metric_families(got.read().decode())
        values = {one.name: one.value for family in families for one in family.samples}
    return values["egiz_bridge_messages_received_total"]


def _children(running):
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


def _runs(pid):
    return Path(f"/proc/{pid}").exists()


def _publish(mosquitto, first, count):
    with Publisher(mosquitto) as publisher:
        for number in range(first, first + count):
            publisher.publish(
                f"sensors/{FACILITIES[number % 3]}/oven-1/telemetry",
                f'{{"device_id":"oven-1","timestamp":{BEGIN_S + number},'
                f'"thermal":{{"setpoint":{number}.5}}}}',
            )


def test_two_workers_store_everything_once(team, mosquitto, influxdb):
    running = team(2)
    _publish(mosquitto, 0, 300)
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 300, timeout=30)
    assert [_received(running, 1), _received(running, 2)] == [200, 100]
    assert running.stop() == 0
    assert running.log.count("event=stopped") == 2
    # A part without a subscriber is left to the others.
    text = running.config.read_text().replace("'east'", "'west'")
    running.config.write_text(text)
    running = team(2)
    _publish(mosquitto, 300, 300)
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 500, timeout=30)
    assert [_received(running, 1), _received(running, 2)] == [100, 100]
    assert running.stop() == 0


def test_a_worker_that_dies_ends_all_and_nothing_is_lost(team, mosquitto, influxdb):
    running = team(2)
    first, second = _children(running)
    os.kill(second, signal.SIGKILL)
    assert running.process.wait(30) == 1
    assert "worker 2/2 has ended with code -9" in running.log
    assert not _runs(first)
    _publish(mosquitto, 0, 30)
    running = team(2)
    eventually(lambda: len(stored.in_influxdb(influxdb)) == 30, timeout=30)
    assert running.stop() == 0


def test_no_worker_survives_a_killed_parent(team):
    running = team(2)
    children = _children(running)
    running.kill()
    eventually(lambda: not any(_runs(child) for child in children))
    assert running.log.count("event=stopped") == 2


def test_too_few_facilities_are_an_error_before_the_start(mosquitto, bridge, launch):
    made = bridge(mosquitto.url, archive={})
    ended = launch("egiz-bridge", "run", "--config", str(made.config), "--workers", "2")
    assert ended.wait(20) == 2
    assert "mqtt.facilities: 2 bridges need as many" in ended.output()
    assert "starting" not in ended.output()
