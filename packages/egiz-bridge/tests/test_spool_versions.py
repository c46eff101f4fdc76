"""A spool of any earlier bridge is converted, and one of a newer bridge is refused."""

import random
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import Unavailable
from egiz_bridge.spool import Spool, codec, schema
from egiz_bridge.spool.dead_letters import Selection, replay

MIB = 1024**2
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000

# What earlier bridges made, in the order in which they came; none wrote a version.
_PLAIN = """(
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL, body BLOB NOT NULL
);"""
_LETTERS = """CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL, received_ms INTEGER NOT NULL
);"""
FIRST = f"""
CREATE TABLE batches {_PLAIN}
CREATE INDEX batches_of_sink ON batches (sink, id, messages, bytes);
{_LETTERS}
"""
WITH_REPLAYS = f"{FIRST} CREATE TABLE replays {_PLAIN}"
WITH_NOTES = (
    f"{WITH_REPLAYS} CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);"
)
_AGED = _PLAIN.replace("messages", "received_ms INTEGER NOT NULL, messages", 1)
WITH_AGE = f"""
CREATE TABLE batches {_AGED}
CREATE INDEX batches_of_sink ON batches (sink, id, received_ms, messages, bytes);
CREATE TABLE damaged {_AGED}
{_LETTERS}
CREATE TABLE replays {_AGED}
CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
# A bridge with ages that had opened a file without them: it added what was missing.
MIXED = f"""{FIRST}
CREATE TABLE damaged {_AGED}
CREATE TABLE replays {_AGED}
CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
EARLIER = {
    "first": FIRST,
    "with_replays": WITH_REPLAYS,
    "with_notes": WITH_NOTES,
    "with_age": WITH_AGE,
    "mixed": MIXED,
}


def _messages(first, count):
    return [Message(f"t/{n}", b"{%d}" % n, NOW_MS + n) for n in range(first, count)]


def _insert(db, table, sink, messages):
    body = codec.encode(messages)
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = {"sink": sink, "messages": len(messages), "bytes": len(body)}
    values |= {"body": body, "received_ms": NOW_MS}
    given = [name for name in names if name in values]
    marks = ", ".join("?" * len(given))
    db.execute(
        f"INSERT INTO {table} ({', '.join(given)}) VALUES ({marks})",
        [values[name] for name in given],
    )


def _made(path, script):
    """A file as that bridge left it: two batches, a dead letter, a replay."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(script)
        _insert(db, "batches", "influxdb", _messages(0, 3))
        _insert(db, "batches", "lines", _messages(3, 5))
        if "TABLE replays" in script:
            _insert(db, "replays", "lines", _messages(5, 6))
        db.execute(
            "INSERT INTO dead_letters VALUES (7, 'lines', 'rejected', 'why', 't/9',"
            f" X'7B7D', 2, {NOW_MS})"
        )


def _columns(db, table):
    return sorted(row[1:4] for row in db.execute(f"PRAGMA table_info({table})"))


@pytest.mark.parametrize("name", EARLIER)
def test_what_an_earlier_bridge_left_is_there_after_the_upgrade(tmp_path, name):
    path = tmp_path / "spool.sqlite"
    _made(path, EARLIER[name])
    spool = Spool(path, MIB, max_age_days=30)
    assert spool.incidents.set_aside == 0
    assert spool.batches.counts() == {"influxdb": 3, "line_protocol": 2}
    assert spool.batches.oldest("influxdb").messages == _messages(0, 3)
    replays = int("TABLE replays" in EARLIER[name])
    assert spool.replays.requeue("line_protocol") == replays
    spool.batches.put("influxdb", _messages(10, 14))
    spool.dead_letters.add([DeadLetter(_messages(0, 1)[0], "charset", "why")], "x")
    assert replay(path, Selection(ids=(7,)), ["line_protocol"]).done == 1
    assert spool.replays.requeue("line_protocol") == 1
    total = {"influxdb": 7, "line_protocol": 3 + replays}
    assert spool.batches.counts() == total
    spool.close()
    again = Spool(path, MIB)
    assert again.batches.counts() == total
    again.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("name", EARLIER)
def test_a_converted_file_has_the_tables_of_a_new_one(tmp_path, name):
    shapes = []
    _made(tmp_path / "old.sqlite", EARLIER[name])
    for path in (tmp_path / "old.sqlite", tmp_path / "new.sqlite"):
        Spool(path, MIB).close()
        with closing(sqlite3.connect(path)) as db:
            names = db.execute("SELECT name FROM sqlite_master").fetchall()
            shapes.append({name: _columns(db, name) for (name,) in names})
    assert shapes[0] == shapes[1]


def test_a_conversion_that_is_killed_loses_nothing(tmp_path):
    """SIGKILL at any moment of the first start of a newer bridge."""
    code = (
        "import os, sys, signal, threading, time; from pathlib import Path;"
        "from egiz_bridge.spool import Spool;"
        "threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), 9)).start();"
        "Spool(Path(sys.argv[1]), 2**30); time.sleep(60)"
    )
    rng = random.Random(3)
    for attempt in range(12):
        path = tmp_path / f"spool-{attempt}.sqlite"
        _made(path, FIRST)
        with closing(sqlite3.connect(path)) as db, db:
            for _ in range(400):
                _insert(db, "batches", "influxdb", _messages(0, 3))
        delay = str(rng.uniform(0.0, 0.03))
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), delay], check=False
        )
        assert done.returncode == -9
        spool = Spool(path, MIB)
        assert spool.batches.counts() == {"influxdb": 1203, "line_protocol": 2}
        spool.close()


@pytest.fixture
def newer(tmp_path):
    path = tmp_path / "spool.sqlite"
    Spool(path, MIB).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    return path


def test_a_newer_file_is_refused_and_left_as_it_is(newer):
    before = newer.read_bytes()
    with pytest.raises(Unavailable, match=r"is of a newer bridge .*install that"):
        Spool(newer, MIB)
    assert newer.read_bytes() == before
    assert list(newer.parent.glob("*.damaged-*")) == []


def test_a_newer_file_is_no_start_and_the_key_is_named(newer, mosquitto, bridge):
    made = bridge(mosquitto.url, archive={}, spool={"path": str(newer)})
    made.start(wait=False)
    assert made.process.wait() == 2
    assert f"spool.path: {newer} is of a newer bridge" in made.log
    assert "Traceback" not in made.log


@pytest.mark.parametrize("command", [["dlq", "list"], ["spool", "status"]])
@pytest.mark.parametrize("version", [0, schema.VERSION + 1])
def test_commands_say_which_bridge_a_file_of_another_version_is_of(
    newer, bridge, launch, command, version
):
    with closing(sqlite3.connect(newer)) as db, db:
        db.execute(f"PRAGMA user_version = {version}")
    made = bridge("mqtt://localhost:1", archive={}, spool={"path": str(newer)})
    ended = launch("egiz-bridge", *command, "--config", str(made.config))
    assert ended.wait() == 1
    word = "newer" if version else "older"
    assert f"spool.path: {newer} is of a" in ended.output()
    assert f"{word} bridge" in ended.output()


def test_check_says_that_a_newer_file_cannot_be_used(newer, bridge, launch):
    made = bridge("mqtt://localhost:1", archive={}, spool={"path": str(newer)})
    ended = launch("egiz-bridge", "check", "--config", str(made.config))
    assert ended.wait() == 1
    assert "WRONG spool.path\n" in ended.output()
    assert f"spool.path: {newer} is of a newer bridge" in ended.output()


def test_the_database_of_another_program_is_no_spool(tmp_path):
    path = tmp_path / "grafana.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE dashboards (id INTEGER)")
    with pytest.raises(Unavailable, match=r"is no spool: .*give the spool its own"):
        Spool(path, MIB)
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT name FROM sqlite_master").fetchall()
        assert names == [("dashboards",)]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
