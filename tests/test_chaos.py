"""Chaos: kills, outages, failing answers, lost files, jumps of the clock, nonsense.

The oracle is conservation, and what an operator sees. Each message that the broker
acknowledged to the fleet is in the database and in the archive, once and with its
values, or was in a spool that was damaged, and is counted as such. At every scrape the
bridge's counts balance. Each fault is named by /readyz within seconds, and no longer
when it is over. Nothing becomes a dead letter that the fleet did not send as one.

`CHAOS_SEED` and `CHAOS_SECONDS` in the environment decide about the half hour.
"""

import contextlib
import logging
import os
import random
import time
from collections import Counter

import pytest
from chaos.auditor import Auditor
from chaos.faults import FAULTS
from chaos.fleet import RATE, Fleet
from chaos.stage import Stage
from chaos.storm import Storm
from rig import stored
from rig.waiting import eventually

_log = logging.getLogger(__name__)


@pytest.fixture
def stage(tmp_path, mosquitto, influxdb, scripted_http, proxy, bridge):
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1_000_000))
    _log.info("CHAOS_SEED=%d", seed)
    servers = (mosquitto, influxdb, scripted_http)
    return Stage(tmp_path, random.Random(seed), servers, proxy, bridge)


@contextlib.contextmanager
def _judged(stage):
    """Load and audit while the block runs, and all that must hold after it."""
    auditor = Auditor(stage.bridge)
    stage.fleet.start()
    auditor.start()
    try:
        yield
    finally:
        stage.fleet.finish()
    points = stage.fleet.points
    expected = {key: one for key, one in points.items() if key not in stage.lost}
    with contextlib.suppress(AssertionError):
        eventually(lambda: _counted(stage) == len(expected), timeout=120)
    with contextlib.suppress(AssertionError):
        eventually(lambda: stored.in_influxdb(stage.influxdb) == expected, timeout=60)
    auditor.finish()
    _log.info(
        "%d messages, %d points, %d of them lost with a spool, %d scrapes",
        stage.fleet.sent,
        len(points),
        len(stage.lost),
        auditor.scrapes,
    )
    _is_stored(stored.in_influxdb(stage.influxdb), expected)
    _is_stored(stage.in_archives(), points)
    assert auditor.imbalances == []
    assert auditor.dead == []
    assert auditor.scrapes > 10
    assert "Traceback" not in stage.bridge.log


def _counted(stage):
    (row,) = stage.influxdb.query("SELECT count(seq) FROM telemetry")
    return row["count"]


def _is_stored(found, expected):
    assert found.keys() - expected.keys() == set()
    assert expected.keys() - found.keys() == set()
    assert found == expected


def _report(storm):
    _log.info("faults: %s", dict(storm.counts))
    for text, seconds in (("seen", storm.delays_s), ("over", storm.over_s)):
        longest = Counter(seconds).most_common(5)
        _log.info("%s after at most: %s", text, [(k, round(v, 1)) for k, v in longest])


def _is_well(stage, storm):
    _report(storm)
    assert storm.misses == []
    # What is shown for a while is not shown by the next run: all is well.
    stage.begin_again(wait=True)
    eventually(lambda: stage.bridge.get("/readyz")[0] == 200)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_each_fault_is_seen_and_nothing_is_lost(stage):
    storm = Storm(stage, [fault for fault in FAULTS if fault.is_short], 0.9)
    with _judged(stage):
        storm.once()
    _is_well(stage, storm)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_half_an_hour_of_chaos(stage):
    seconds = int(os.environ.get("CHAOS_SECONDS", "1800"))
    storm = Storm(stage, FAULTS)
    until_s = time.monotonic() + seconds
    with _judged(stage):
        while time.monotonic() < until_s:
            storm.once(until_s)
    _is_well(stage, storm)
    assert len(stage.fleet.points) > seconds * RATE / 10


def _logged(running, event):
    """The numbers that each log line of `event` carries, oldest first."""
    lines = [one.split() for one in running.log.splitlines() if f"event={event}" in one]
    pairs = [[word.split("=", 1) for word in line if "=" in word] for line in lines]
    return [{key: int(n) for key, n in line if n.isdecimal()} for line in pairs]


def _has_received(running, count):
    eventually(lambda: running.metrics()["messages_received_total"] > count)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("restarts", [10, pytest.param(50, marks=pytest.mark.soak)])
def test_clean_restarts_under_load_cause_no_redelivery(mosquitto, bridge, restarts):
    """The broker sends again what was not acknowledged: after a stop, nothing.

    Except what arrives after DISCONNECT was sent. The bridge counts it and has not
    stored it: over all runs it receives each message once.
    """
    running = bridge(mosquitto.url, archive={})
    running.start()
    fleet = Fleet(mosquitto, random.Random(1))
    fleet.start()
    redeliveries = 0
    try:
        for _ in range(restarts):
            _has_received(running, 50 + redeliveries)  # what is sent again comes first
            assert running.metrics()["messages_redelivered_total"] == redeliveries
            assert running.stop() == 0
            redeliveries = _logged(running, "disconnected")[-1]["redelivery_expected"]
            running.start()
    finally:
        fleet.finish()
    eventually(lambda: stored.in_archive(running.archive) == fleet.points, timeout=60)
    assert running.stop() == 0
    assert sum(one["received"] for one in _logged(running, "stopped")) == fleet.sent
    left = [one["redelivery_expected"] for one in _logged(running, "disconnected")]
    logging.getLogger(__name__).info("redelivery expected: %s", left)
