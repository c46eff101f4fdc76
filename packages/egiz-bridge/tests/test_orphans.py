"""What earlier runs left is listed with the command that adopts or deletes it."""

import itertools
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import Unavailable
from egiz_bridge.spool import Spool, orphans
from rig import stored
from rig.process import Process, free_port, own_program
from rig.publisher import Publisher
from rig.waiting import eventually

MIB = 1024**2
BEGIN_S = 1706352600
FACILITIES = ["north", "south"]


def _messages(first, end):
    payload = b'{"device_id":"oven-1","timestamp":%d,"thermal":{"setpoint":1}}'
    topic = "sensors/north/oven-1/telemetry"
    return [
        Message(topic, payload % (BEGIN_S + n), BEGIN_S * 1000)
        for n in range(first, end)
    ]


def _fill(path, sink, first, end, letters=0):
    with closing(Spool(path, MIB)) as spool:
        for number in range(first, end):
            spool.batches.put(sink, _messages(number, number + 1))
        dead = [DeadLetter(one, "rejected", "") for one in _messages(0, letters)]
        spool.dead_letters.add(dead, sink)


@pytest.fixture
def operate(launch):
    """`operate(bridge, "spool", "status")` gives (exit code, output)."""

    def run(bridge, *arguments):
        process = launch("egiz-bridge", *arguments, "--config", str(bridge.config))
        code = process.wait()
        assert "Traceback" not in process.output()
        return code, process.output()

    return run


class TestSinks:
    """A sink was renamed, or its table removed."""

    @pytest.fixture
    def running(self, mosquitto, bridge):
        made = bridge(mosquitto.url, archive={"retention_days": 0})
        _fill(made.spool, "influxdb", 0, 250, letters=3)
        made.start()
        return made

    def test_they_are_listed_and_logged_with_the_commands(self, running, operate):
        what = "250 messages, 3 dead letters of the sink influxdb, which has no"
        what += " table"
        code, output = operate(running, "spool", "status")
        assert code == 0
        begin = output.splitlines().index(what)
        assert output.splitlines()[begin + 1 : begin + 3] == [
            "  egiz-bridge spool adopt influxdb --to SINK",
            "  egiz-bridge spool purge influxdb",
        ]
        assert what in running.log
        assert "egiz-bridge spool adopt influxdb --to SINK" in running.log

    def test_another_sink_gets_what_waited_while_the_bridge_runs(
        self, running, operate
    ):
        code, output = operate(running, "spool", "adopt", "influxdb", "--to", "archive")
        assert code == 0
        assert output == "250 messages handed to the bridge, 3 dead letters kept\n"
        eventually(lambda: len(stored.in_archive(running.archive)) == 250)
        eventually(lambda: running.metrics()["sink_written_total/archive"] == 250)
        metrics = running.metrics()
        assert metrics["sink_unaccounted/archive"] == 0
        assert metrics["sink_spooled/archive"] == 0
        assert (
            operate(running, "dlq", "replay", "--all")[1] == "3 handed to the bridge\n"
        )
        assert "no table" not in operate(running, "spool", "status")[1]

    def test_what_waited_is_deleted_on_demand(self, running, operate):
        assert operate(running, "spool", "purge", "influxdb")[1] == (
            "250 messages deleted\n"
        )
        assert (
            "0 messages, 3 dead letters of the sink influxdb"
            in (operate(running, "spool", "status")[1])
        )

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["adopt"], "give SINK and --to SINK, or --file FILE"),
            (["adopt", "influxdb"], "give SINK and --to SINK"),
            (["adopt", "influxdb", "--to", "x"], "there is no sink x: archive"),
            (["adopt", "archive", "--to", "archive"], "archive: it is not gone"),
            (["purge", "archive"], "the bridge writes to archive"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(
        self, bridge, operate, arguments, sentence
    ):
        made = bridge("mqtt://localhost:1", archive={})
        code, output = operate(made, "spool", *arguments)
        assert code == 2
        assert sentence in output


class TestFiles:
    """`--workers` was changed: other files are used."""

    def test_all_of_a_file_is_moved_and_it_is_removed(self, tmp_path):
        path, other = tmp_path / "spool.sqlite", tmp_path / "spool-1.sqlite"
        _fill(path, "a", 0, 2, letters=1)
        _fill(other, "a", 2, 250, letters=205)
        assert orphans.adopt_file(path, other) == (248, 205)
        assert not list(tmp_path.glob("spool-1*"))
        found = orphans.contents(path)
        assert (found.messages, found.letters) == ({"a": 250}, {"a": 206})

    def test_a_move_that_is_killed_loses_nothing(self, tmp_path):
        path, other = tmp_path / "spool.sqlite", tmp_path / "spool-1.sqlite"
        _fill(path, "a", 0, 1)
        _fill(other, "a", 1, 2000)
        code = (
            "import os, sys, threading; from pathlib import Path;"
            "from egiz_bridge.spool.orphans import adopt_file;"
            "threading.Timer(float(sys.argv[3]), os.kill, (os.getpid(), 9)).start();"
            "adopt_file(Path(sys.argv[1]), Path(sys.argv[2])); os._exit(0)"
        )
        killed, after_s = 0, 0.0
        while other.exists():
            after_s += 0.004  # the first ones end it early, however fast the machine is
            command = [sys.executable, "-c", code, str(path), str(other), str(after_s)]
            killed += subprocess.run(command, check=False).returncode == -9
        assert killed
        with closing(Spool(path, 100 * MIB)) as spool:
            while spool.replays.requeue("a"):
                pass
            payloads = []
            while (batch := spool.batches.oldest("a")) is not None:
                payloads += [message.payload for message in batch.messages]
                spool.batches.drop(batch)
        assert set(payloads) == {one.payload for one in _messages(0, 2000)}

    def test_a_file_that_is_in_use_is_neither_listed_nor_moved(self, tmp_path):
        path, other = tmp_path / "spool.sqlite", tmp_path / "spool-1.sqlite"
        _fill(path, "a", 0, 1)
        _fill(other, "a", 1, 3)
        code = (
            "import sys; from pathlib import Path; from egiz_bridge.spool import Spool;"
            "spool = Spool(Path(sys.argv[1]), 2**20);"
            "print('open', flush=True); input()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(other)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout.readline() == b"open\n"
            assert orphans.files_beside(path, [path]) == []
            with pytest.raises(Unavailable, match="another program uses it"):
                orphans.adopt_file(path, other)
            process.kill()
        assert orphans.files_beside(path, [path]) == [other]
        assert orphans.adopt_file(path, other) == (2, 0)

    @pytest.mark.parametrize("content", ["empty", "nonsense", "other", "none", "self"])
    def test_what_is_no_spool_stays_as_it_is(self, tmp_path, content):
        path, other = tmp_path / "spool.sqlite", tmp_path / "other"
        _fill(path, "a", 0, 1)
        if content == "empty":
            other.touch()
        elif content == "nonsense":
            other.write_bytes(b"nonsense" * 1000)
        elif content == "other":
            with closing(sqlite3.connect(other)) as db, db:
                db.execute("CREATE TABLE dashboards (id INTEGER)")
        elif content == "self":
            other.symlink_to(path)
        before = other.read_bytes() if other.exists() else None
        with pytest.raises(Unavailable):
            orphans.adopt_file(path, other)
        assert (other.read_bytes() if other.exists() else None) == before

    def test_a_file_of_an_earlier_bridge_is_converted_and_moved(self, tmp_path):
        path, other = tmp_path / "spool.sqlite", tmp_path / "spool-1.sqlite"
        _fill(path, "a", 0, 1)
        _fill(other, "a", 1, 3)
        with closing(sqlite3.connect(other)) as db, db:
            db.execute("DROP TABLE replays")
            db.execute("PRAGMA user_version = 0")
        assert orphans.adopt_file(path, other) == (2, 0)


class TestWorkers:
    """One bridge, then two, then one: messages and sessions that are left."""

    @pytest.fixture
    def team(self, mosquitto, influxdb, bridge):
        table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
        port = free_port(in_a_row=2)
        http = {"listen": f"127.0.0.1:{port}"}
        made = bridge(mosquitto.url, influxdb=table, http=http)
        made.http = http["listen"]
        text = made.config.read_text()
        text = text.replace("[mqtt]\n", f"[mqtt]\nfacilities = {FACILITIES}\n")
        made.config.write_text(text)

        runs = itertools.count()

        def begin(workers):
            log = made.directory / f"log-{next(runs)}"
            command = [own_program("egiz-bridge"), "run", "--config", str(made.config)]
            made.process = Process([*command, "--workers", str(workers)], log)
            made.process.wait_until(
                lambda: log.read_text().count("event=subscribed") == workers
            )
            return log

        made.begin = begin
        return made

    def _publish(self, mosquitto, first, end):
        with Publisher(mosquitto) as publisher:
            for number in range(first, end):
                message = {"device_id": "oven-1", "timestamp": BEGIN_S + number}
                message |= {"thermal": {"setpoint": 1.0}}
                topic = f"sensors/{FACILITIES[number % 2]}/oven-1/telemetry"
                publisher.publish(topic, json.dumps(message))

    def test_both_changes_are_logged_and_nothing_is_lost(
        self, team, mosquitto, influxdb, operate, monkeypatch
    ):
        influxdb.stop()
        log = team.begin(1)
        self._publish(mosquitto, 0, 10)
        eventually(lambda: orphans.contents(team.spool).messages == {"influxdb": 10})
        assert team.stop() == 0
        assert "left by an earlier run" not in log.read_text()

        log = team.begin(2)
        self._publish(mosquitto, 10, 20)
        parts = [team.spool.with_name(f"spool-{n}.sqlite") for n in (1, 2)]

        def spooled():
            return sum(orphans.contents(one).messages.total() for one in parts)

        eventually(lambda: spooled() == 10)
        assert team.stop() == 0
        text = log.read_text()
        assert text.count("left by an earlier run") == 2
        assert f"10 messages, 0 dead letters in {team.spool}, which no bridge" in text
        assert f"SHARD=1/2 egiz-bridge spool adopt --file {team.spool}" in text
        assert "session end egiz-bridge" in text
        monkeypatch.setenv("EGIZ_BRIDGE_SHARD", "1/2")
        code, output = operate(team, "session", "end", "egiz-bridge")
        assert (code, output) == (0, "the session egiz-bridge has ended\n")
        assert operate(team, "session", "list") == (0, "")
        monkeypatch.delenv("EGIZ_BRIDGE_SHARD")

        log = team.begin(1)
        text = log.read_text()
        assert text.count("left by an earlier run") == 4
        for part in parts:
            assert f"egiz-bridge spool adopt --file {part}" in text
            code, output = operate(team, "spool", "adopt", "--file", str(part))
            assert code == 0
            assert output.startswith("5 messages handed to the bridge")
        assert operate(team, "session", "list")[1].split() == [
            *("egiz-bridge-1", "egiz-bridge-2")
        ]
        influxdb.start()
        eventually(lambda: len(stored.in_influxdb(influxdb)) == 20)
        eventually(lambda: team.metrics()["sink_spooled/influxdb"] == 0)
        assert team.metrics()["sink_unaccounted/influxdb"] == 0
        for number in (1, 2):
            operate(team, "session", "end", f"egiz-bridge-{number}")
        status = operate(team, "spool", "status")[1]
        assert "no bridge" not in status
        assert "session" not in status
        assert not list(team.directory.glob("spool-*"))

    def test_the_session_of_a_running_bridge_is_not_ended(self, team, operate):
        team.begin(1)
        code, output = operate(team, "session", "end", "egiz-bridge")
        assert code == 1
        assert "egiz-bridge is no session of an earlier run" in output
