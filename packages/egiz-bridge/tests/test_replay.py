"""Dead letters are replayed in large batches, and none is lost, whatever is killed."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.spool import Spool, codec
from egiz_bridge.spool.dead_letters import Selection, replay
from rig import stored
from rig.waiting import eventually

BEGIN_S = 1706352600
NOW_MS = time.time_ns() // 10**6
ALL = Selection(is_all=True)
TOPIC = "sensors/factory/oven-001/telemetry"


def _payload(number):
    text = '{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":%d}}'
    return (text % (BEGIN_S + number, number % 1000)).encode()


def _add(path, count, sink="archive", first=0):
    with closing(Spool(path, 2**30)) as spool:
        for start in range(first, first + count, 5000):
            numbers = range(start, min(start + 5000, first + count))
            messages = [Message(TOPIC, _payload(n), NOW_MS) for n in numbers]
            letters = [DeadLetter(one, "rejected", "why") for one in messages]
            spool.dead_letters.add(letters, sink)


def _found(path):
    """Payloads by where they are: letters, and what the bridge will write."""
    with closing(sqlite3.connect(path)) as db:
        letters = [row[0] for row in db.execute("SELECT payload FROM dead_letters")]
        bodies = db.execute(
            "SELECT body FROM replays UNION ALL SELECT body FROM batches"
        )
        waiting = [one.payload for (body,) in bodies for one in codec.decode(body)]
    return letters, waiting


def test_letters_become_batches_of_a_thousand(tmp_path):
    path = tmp_path / "spool.sqlite"
    _add(path, 3500)
    assert replay(path, ALL, ["archive"]).done == 3500
    letters, waiting = _found(path)
    assert letters == []
    assert waiting == [_payload(n) for n in range(3500)]
    with closing(sqlite3.connect(path)) as db:
        sizes = db.execute("SELECT messages FROM replays").fetchall()
    assert sizes == [(1000,), (1000,), (1000,), (500,)]


def test_letters_of_a_sink_without_a_table_stay_letters(tmp_path):
    path = tmp_path / "spool.sqlite"
    _add(path, 3, "influxdb")
    _add(path, 2, "archive", first=3)
    _add(path, 1, "", first=5)
    found = replay(path, ALL, ["archive", "line_protocol"])
    assert (found.done, found.of_others) == (3, {"influxdb": 3})
    letters, waiting = _found(path)
    assert letters == [_payload(n) for n in range(3)]
    assert sorted(waiting) == sorted(_payload(n) for n in (3, 4, 5, 5))


def test_the_command_names_the_sink_that_is_missing(bridge, launch):
    made = bridge("mqtt://localhost:1", archive={})
    _add(made.spool, 3, "influxdb")
    ended = launch(
        "egiz-bridge", "dlq", "replay", "--all", "--config", str(made.config)
    )
    assert ended.wait() == 0
    assert "0 handed to the bridge\n" in ended.output()
    assert "3 stay: there is no sink influxdb" in ended.output()


def test_a_replay_that_is_killed_loses_no_letter(tmp_path):
    """SIGKILL at any moment; the letters are where they were, or with the bridge."""
    path = tmp_path / "spool.sqlite"
    count = 20_000
    _add(path, count)
    code = (
        "import os, sys, threading; from pathlib import Path;"
        "from egiz_bridge.spool.dead_letters import Selection, replay;"
        "threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), 9)).start();"
        "replay(Path(sys.argv[1]), Selection(is_all=True), ['archive']); os._exit(0)"
    )
    rng = random.Random(1)
    partly = 0
    for _ in range(15):
        command = [sys.executable, "-c", code, str(path), str(rng.uniform(0, 0.1))]
        subprocess.run(command, check=False)
        letters, waiting = _found(path)
        assert len(letters) + len(waiting) == count
        assert {*letters, *waiting} == {_payload(n) for n in range(count)}
        partly += 0 < len(waiting) < count
    assert partly
    replay(path, ALL, ["archive"])
    assert _found(path)[0] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bridge_that_is_killed_while_it_replays_stores_each_letter(
    mosquitto, bridge, launch, seed
):
    running = bridge(mosquitto.url, archive={})
    count = 8000
    _add(running.spool, count)
    rng = random.Random(seed)
    running.start()
    config = str(running.config)
    process = launch("egiz-bridge", "dlq", "replay", "--all", "--config", config)
    for _ in range(4):
        time.sleep(rng.uniform(0, 0.7))
        running.kill()
        running.start()
    assert process.wait() == 0
    with suppress(AssertionError):
        eventually(lambda: len(stored.in_archive(running.archive)) == count)
    expected = {("telemetry", "oven-001", (BEGIN_S + n) * 1000) for n in range(count)}
    assert stored.in_archive(running.archive).keys() == expected
    eventually(lambda: running.metrics()["sink_spooled/archive"] == 0)
    assert running.metrics()["sink_unaccounted/archive"] == 0
    assert _found(running.spool) == ([], [])
