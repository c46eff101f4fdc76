"""Simulator → Mosquitto → bridge → database, and a live subscriber at the same time.

Each test ends with the same question: does the database hold exactly what the live
subscriber saw, and that exactly what the simulator says was acknowledged?
"""

import contextlib
import json
import random
import time

import pytest
from rig import stored
from rig.waiting import eventually


class Loop:
    """A fleet, a bridge and one database."""

    def __init__(self, launch, mosquitto, live, tmp_path) -> None:
        self._launch = launch
        self._mosquitto = mosquitto
        self.live = live
        self._report = tmp_path / "ledger.json"
        self._fleets = 1

    def publish(self, *, devices=20, rate=20, seconds=5):
        """Start the fleet."""
        self.sim = self._launch(
            "egiz-sim",
            *("run", "--broker", self._mosquitto.url, "--report", str(self._report)),
            *(
                "--devices",
                str(devices),
                "--rate",
                str(rate),
                "--seconds",
                str(seconds),
            ),
        )

    def finished(self, of=1) -> dict:
        """The ledger of the fleet: everything was acknowledged, and seen live.

        With more than one fleet, `of` is their number: each publishes the same.
        """
        assert self.sim.wait(timeout=90) == 0, self.sim.output()
        ledger = json.loads(self._report.read_text())
        assert ledger["balanced"]
        published = ledger["totals"]["published"]
        self._fleets = max(self._fleets, of)
        eventually(lambda: len(self.live.points()) == self._fleets * published)
        return ledger

    def holds_exactly_what_was_published(self, read, expected_of=lambda points: points):
        """Wait until `read()` gives every point, then compare values."""
        self.finished()
        expected = expected_of(self.live.points())
        with contextlib.suppress(AssertionError):
            eventually(lambda: stored.without_wills(read()) == expected, timeout=30)
        found = stored.without_wills(read())
        assert found.keys() == expected.keys()
        assert found == expected


@pytest.fixture
def loop(launch, mosquitto, live, tmp_path):
    return Loop(launch, mosquitto, live, tmp_path)


def _influxdb_v1(influxdb):
    return {"url": influxdb.url, "api": "v1", "database": influxdb.database}


def test_victoriametrics_over_the_v2_api(loop, mosquitto, victoriametrics, bridge):
    table = {"url": victoriametrics.url, "bucket": "factory", "org": "egiz"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    loop.publish()
    loop.holds_exactly_what_was_published(
        lambda: stored.in_victoriametrics(victoriametrics), stored.as_numbers
    )
    assert running.stop() == 0


def test_influxdb_over_the_v1_api(loop, mosquitto, influxdb, bridge):
    running = bridge(mosquitto.url, influxdb=_influxdb_v1(influxdb))
    running.start()
    loop.publish()
    loop.holds_exactly_what_was_published(lambda: stored.in_influxdb(influxdb))
    assert running.stop() == 0


def test_sqlite_archive_and_every_message_is_accounted_for(loop, mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    loop.publish()
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))
    published = loop.finished()["totals"]["published"]
    metrics = running.metrics()
    assert metrics["messages_received_total"] == published
    assert metrics["messages_acknowledged_total"] == published
    assert metrics["sink_written_total/archive"] == published
    assert metrics["sink_in_flight/archive"] == 0
    assert metrics["sink_unaccounted/archive"] == 0
    assert running.stop() == 0


def test_both_sinks_at_once(loop, mosquitto, influxdb, bridge):
    running = bridge(mosquitto.url, influxdb=_influxdb_v1(influxdb), archive={})
    running.start()
    loop.publish(seconds=2)
    loop.holds_exactly_what_was_published(lambda: stored.in_influxdb(influxdb))
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))


@pytest.mark.parametrize("sink", ["influxdb", "archive"])
def test_a_bridge_killed_in_mid_stream_loses_and_repeats_nothing(
    loop, mosquitto, bridge, sink, request
):
    if sink == "influxdb":
        influxdb = request.getfixturevalue("influxdb")
        running = bridge(mosquitto.url, influxdb=_influxdb_v1(influxdb))
    else:
        running = bridge(mosquitto.url, archive={})
    running.start()
    loop.publish(seconds=6)
    for _ in range(3):
        received = running.metrics()["messages_received_total"]
        at = received + random.randrange(50, 400)  # a random instant within a batch
        eventually(  # if the bridge starts slowly, no more may come than have come
            lambda at=at: (
                running.metrics()["messages_received_total"] >= at
                or not loop.sim.is_running()
            )
        )
        running.kill()
        running.start()

    def read():
        if sink == "influxdb":
            return stored.in_influxdb(influxdb)
        return stored.in_archive(running.archive)

    loop.holds_exactly_what_was_published(read)
    assert running.stop() == 0


def test_nothing_is_acknowledged_while_a_database_hangs(
    loop, mosquitto, influxdb, bridge, proxy
):
    """The promise itself: a kill at the worst instant, held open for two seconds."""
    between = proxy(influxdb.host, influxdb.port)
    table = _influxdb_v1(influxdb) | {"url": f"http://{between.host}:{between.port}"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    between.pause()
    loop.publish(devices=5, rate=10, seconds=1)
    # Not until all are there: once the request has timed out, the spool has them.
    eventually(lambda: running.metrics()["messages_received_total"])
    _acknowledges_nothing_more(running)
    running.kill()
    between.cut()
    between.resume()
    running.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_influxdb(influxdb))


def test_nothing_is_acknowledged_that_neither_archive_nor_spool_has_stored(
    loop, mosquitto, bridge
):
    running = bridge(mosquitto.url, archive={})
    running.start()
    loop.publish(devices=5, rate=10, seconds=1)
    published = loop.finished()["totals"]["published"]
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == published)
    with stored.locked(running.archive), stored.locked(running.spool):
        loop.publish(devices=5, rate=10, seconds=1)
        again = loop.finished(of=2)["totals"]["published"]
        _receives_but_acknowledges_nothing(running, again, before=published)
        running.kill()
    running.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))


def _receives_but_acknowledges_nothing(running, count, before=0):
    def received():
        return running.metrics()["messages_received_total"] == before + count

    eventually(received)
    _acknowledges_nothing_more(running, before)


def _acknowledges_nothing_more(running, before=0):
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert running.metrics()["messages_acknowledged_total"] == before
        time.sleep(0.1)


def test_a_clean_restart_replays_nothing(loop, mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    loop.publish(seconds=4)
    eventually(lambda: running.metrics()["messages_received_total"] > 300)
    assert running.stop() == 0
    totals = dict(
        pair.split("=", 1)
        for pair in running.log.splitlines()[-1].split()
        if pair.count("=") == 1
    )
    assert totals["received"] == totals["acknowledged"] == totals["archive_written"]
    running.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))
    published = loop.finished()["totals"]["published"]
    again = running.metrics()["messages_received_total"]
    assert int(totals["received"]) + again == published


def test_a_broker_restart_loses_nothing(loop, mosquitto, bridge):
    running = bridge(mosquitto.url, archive={})
    running.start()
    loop.publish(seconds=6)
    eventually(lambda: running.metrics()["messages_received_total"] > 300)
    mosquitto.stop()
    mosquitto.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))
    assert "no connection to the broker; retrying" in running.log
    assert running.metrics()["mqtt_connections_total"] == 2


def test_a_database_that_is_away_for_ten_seconds_costs_disk_and_nothing_else(
    loop, mosquitto, influxdb, bridge
):
    running = bridge(mosquitto.url, influxdb=_influxdb_v1(influxdb), archive={})
    running.start()
    loop.publish(seconds=15)
    eventually(lambda: running.metrics()["messages_received_total"] > 200)
    influxdb.stop()
    away_since = time.monotonic()
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] > 500)
    assert running.get("/readyz")[0] == 503
    assert running.metrics()["sink_up/archive"] == 1  # the other sink goes on
    while time.monotonic() - away_since < 10:
        metrics = running.metrics()
        assert metrics["sink_unaccounted/influxdb"] == 0
        time.sleep(0.5)
    # What is spooled is acknowledged.
    eventually(lambda: running.metrics()["messages_acknowledged_total"] > 2000)
    influxdb.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_influxdb(influxdb))
    loop.holds_exactly_what_was_published(lambda: stored.in_archive(running.archive))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 0)
    eventually(lambda: running.get("/readyz")[0] == 200)


def test_spooled_messages_survive_a_killed_bridge(loop, mosquitto, influxdb, bridge):
    running = bridge(mosquitto.url, influxdb=_influxdb_v1(influxdb))
    influxdb.stop()
    running.start(wait=False)
    eventually(lambda: running.metrics()["mqtt_connected"] == 1)
    loop.publish(seconds=3)
    loop.finished()
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] > 1000)
    running.kill()
    influxdb.start()
    running.start()
    loop.holds_exactly_what_was_published(lambda: stored.in_influxdb(influxdb))
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 0)
    assert running.metrics()["sink_unaccounted/influxdb"] == 0
