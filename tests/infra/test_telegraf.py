"""The configuration of Telegraf against the contract; `tests/compat` runs Telegraf."""

import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest
from egiz_bridge.batch import AHEAD_MAX_MS
from egiz_bridge.config.settings import Mqtt
from egiz_schema import Topic, limits
from egiz_schema.documents import dictionary
from paho.mqtt.client import topic_matches_sub
from rig.servers import REPOSITORY

CONFIG = tomllib.loads((REPOSITORY / "infra/telegraf/telegraf.conf").read_text())
(INPUT,) = CONFIG["inputs"]["mqtt_consumer"]
(CONVERTER,) = CONFIG["processors"]["converter"]
(STARLARK,) = CONFIG["processors"]["starlark"]
# What Telegraf needs of a message and stores in no field.
FRAMING = {"v": "string", "device_id": "string", "timestamp": "int", "ms": "int"}


def _fields():
    """Types of what may be a field, a list's by its first item."""
    fields = {
        row["influx_field"].replace("_N", "_0"): row["influx_type"]
        for row in dictionary.rows()
        if row["kind"] in {"telemetry", "status"} and row["influx_field"]
    }
    return {**FRAMING, **fields}


def _matched(name, patterns):
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@pytest.mark.parametrize(
    ("key", "patterns", "types"),
    [
        ("fieldinclude", INPUT["fieldinclude"], {"float", "int", "string", "bool"}),
        ("json_string_fields", INPUT["json_string_fields"], {"string", "bool"}),
        ("integer", CONVERTER["fields"]["integer"], {"int"}),
    ],
)
def test_each_list_of_fields_is_that_of_the_dictionary(key, patterns, types):
    fields = _fields()
    wanted = {name for name, type_ in fields.items() if type_ in types}
    matched = {name for name in fields if _matched(name, patterns)}
    missing, wrong = sorted(wanted - matched), sorted(matched - wanted)
    assert missing == [], f"add to {key} of infra/telegraf/telegraf.conf"
    assert wrong == [], f"not of this type: {key}"
    stale = {p for p in patterns if not any(fnmatchcase(name, p) for name in fields)}
    assert stale == set(), f"{key}: the contract has no such field"


def test_a_contact_is_stored_as_true_or_false_whatever_was_sent():
    contacts = CONVERTER["fields"]["boolean"]
    matched = {name for name in _fields() if _matched(name, contacts)}
    assert matched == {"contacts_*"}


@pytest.mark.parametrize("kind", ["telemetry", "status", "config", "command"])
def test_it_subscribes_to_what_is_archived(kind):
    topic = str(Topic("factory", "heat-pump-01", kind))
    received = [one for one in INPUT["topics"] if topic_matches_sub(one, topic)]
    assert len(received) == (kind in {"telemetry", "status"})


def test_tags_are_those_of_the_contract():
    (parsing,) = INPUT["topic_parsing"]
    parts = str(Topic("factory", "heat-pump-01", "status")).split("/")
    names = [
        dict(zip(parsing[key].split("/"), parts, strict=True))
        for key in ("measurement", "tags")
    ]
    assert names[0]["measurement"] == "status"
    assert (names[1]["facility"], names[1]["device_id"]) == ("factory", "heat-pump-01")
    (device_type,) = CONFIG["processors"]["regex"][0]["tags"]
    found = re.fullmatch(device_type["pattern"], names[1]["device_id"])
    assert (device_type["result_key"], found[1]) == ("device_type", "heat-pump")


def test_nothing_is_held_up_by_its_limits():
    broker = (REPOSITORY / "infra/mosquitto/mosquitto.conf").read_text()
    in_flight = int(re.search(r"^max_inflight_messages (\d+)", broker, re.MULTILINE)[1])
    batch, waiting = (
        CONFIG["agent"]["metric_batch_size"],
        INPUT["max_undelivered_messages"],
    )
    assert batch < waiting <= in_flight
    assert waiting <= CONFIG["agent"]["metric_buffer_limit"]


def test_it_and_the_bridge_have_sessions_of_their_own():
    assert INPUT["persistent_session"]
    assert INPUT["qos"] == 1
    assert Mqtt().client_id not in INPUT["client_id"]


NOW_MS = 1706352600_000
IDENTITY = {"device_id": "oven-001", "timestamp": 1706352600}


def _stored(kind, **fields):
    """What the program makes of a message: (time in ms, fields), or None.

    Starlark is a subset of Python as far as this program goes, so Python runs it; in
    Telegraf it is run by tests/compat.
    """
    program = {}
    exec(STARLARK["source"], program)
    tags = {"device_id": "oven-001"}
    metric = SimpleNamespace(name=kind, tags=tags, fields=fields, time=NOW_MS * 10**6)
    done = program["apply"](metric)
    return done and (done.time / 10**6, done.fields)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("telemetry", {**IDENTITY, "seq": 1}, (NOW_MS, {"seq": 1})),
        ("telemetry", {**IDENTITY, "ms": 7, "v": 1}, (NOW_MS + 7, {})),
        ("telemetry", {**IDENTITY, "buffered": True}, (NOW_MS, {"buffered": True})),
        ("telemetry", {**IDENTITY, "buffered": False}, (NOW_MS, {})),
        ("telemetry", {**IDENTITY, "v": 2}, None),
        ("telemetry", {**IDENTITY, "v": "1"}, None),
        ("telemetry", {**IDENTITY, "device_id": "oven-002"}, None),
        ("telemetry", {"timestamp": 1706352600}, None),
        ("telemetry", {**IDENTITY, "timestamp": limits.TIMESTAMP_S[0] - 1}, None),
        (
            "telemetry",
            {**IDENTITY, "timestamp": 9, "status_time_synced": False},
            (NOW_MS, {"status_time_synced": False, "time_corrected": True}),
        ),
        (
            "status",
            {**IDENTITY, "timestamp": 9, "health_time_synced": False},
            (NOW_MS, {"health_time_synced": False, "time_corrected": True}),
        ),
        ("telemetry", {**IDENTITY, "timestamp": 9, "status_time_synced": True}, None),
        ("telemetry", {**IDENTITY, "timestamp": 9, "health_time_synced": False}, None),
        ("telemetry", {"device_id": "oven-001"}, None),
        ("status", {"device_id": "oven-001", "boot": 3}, (NOW_MS, {"boot": 3})),
        (
            "telemetry",
            {**IDENTITY, "timestamp": (NOW_MS + AHEAD_MAX_MS) // 1000},
            (NOW_MS + AHEAD_MAX_MS, {}),
        ),
        (
            "telemetry",
            {**IDENTITY, "timestamp": (NOW_MS + AHEAD_MAX_MS) // 1000, "ms": 1},
            (NOW_MS, {"time_corrected": True}),
        ),
    ],
)
def test_a_point_has_its_device_and_its_time(kind, message, expected):
    assert _stored(kind, **message) == expected


@pytest.mark.soak
def test_telegraf_makes_the_point_of_every_message_of_the_contract():
    path = os.pathsep.join(str(REPOSITORY / name) for name in ("tests", "bench"))
    done = subprocess.run(
        [sys.executable, "-m", "compat"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode == 2:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
