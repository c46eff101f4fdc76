"""Chaos: kills, outages, failing answers, floods of nonsense, repeats, at random.

The oracle is conservation. Each message that the broker acknowledged to the fleet is in
the database, once and with its values; and at every scrape the bridge's counts balance.
"""

import contextlib
import json
import logging
import os
import random
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rig import stored
from rig.scripted_http import Answer
from rig.waiting import eventually

DEVICES = 50
RATE = 300
NONSENSE = [
    ("sensors/factory/oven-001/telemetry", b"{"),
    ("sensors/factory/oven-001/telemetry", os.urandom(200)),
    ("sensors/factory/oven-001/telemetry", b'{"device_id":"oven-002"}'),
    ("sensors/../x", b"x"),
    ("sensors/factory/oven-001/telemetry", b"[" * 5000),
]


class Fleet(threading.Thread):
    """Publishes as devices do; knows what it has published, and what had a PUBACK."""

    def __init__(self, broker, rng):
        super().__init__()
        self._rng = rng
        self._ending = threading.Event()
        self._may_publish = threading.Event()
        self._may_publish.set()
        self._publishing = threading.Lock()
        self._sequence = 0
        self.sent = self._acknowledged = 0
        # Six seconds of a device's time pass in one: never ahead of the clock.
        self._begin_s = int(time.time()) - 86_400
        self.points = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, "fleet", clean_session=False
        )
        self._client.on_publish = self._is_acknowledged
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def run(self):
        while not self._ending.is_set():
            self._may_publish.wait()
            with self._publishing:
                if self._may_publish.is_set():  # not paused meanwhile
                    self._publish_some()
            self._ending.wait(0.05)

    def _publish_some(self):
        for _ in range(RATE // 20):
            self._publish_one()
        if self._rng.random() < 0.05:
            self._flood()

    def pause(self):
        """Publish nothing; returns when the broker has acknowledged everything."""
        with self._publishing:
            self._may_publish.clear()
        eventually(self._all_acknowledged, timeout=60)

    def resume(self):
        self._may_publish.set()

    def finish(self):
        self._ending.set()
        self.resume()
        self.join()
        eventually(self._all_acknowledged, timeout=60)
        self._client.disconnect()
        self._client.loop_stop()

    def _is_acknowledged(self, *_):
        self._acknowledged += 1

    def _all_acknowledged(self):
        return self._acknowledged == self.sent

    def _publish_one(self):
        seq, unit = divmod(self._sequence, DEVICES)
        self._sequence += 1
        device, time_s, reading = f"oven-{unit:03}", self._begin_s + seq, seq / 4
        message = {
            "device_id": device,
            "timestamp": time_s,
            "seq": seq,
            "boot": 1,
            "thermal": {"setpoint": reading},
        }
        topic = f"sensors/factory/{device}/telemetry"
        for _ in range(2 if self._rng.random() < 0.05 else 1):  # some come twice
            self._send(topic, json.dumps(message).encode())
        self.points["telemetry", device, time_s * 1000] = {
            "seq": seq,
            "boot": 1,
            "thermal_setpoint": reading,
        }

    def _flood(self):
        for _ in range(50):
            self._send(*self._rng.choice(NONSENSE))

    def _send(self, topic, payload):
        self.sent += 1
        self._client.publish(topic, payload, 1)


class Auditor(threading.Thread):
    """Scrapes all the time; keeps every imbalance."""

    def __init__(self, running):
        super().__init__(daemon=True)
        self._running = running
        self._ending = threading.Event()
        self.scrapes = 0
        self.imbalances = []

    def run(self):
        while not self._ending.wait(0.2):
            with contextlib.suppress(OSError, KeyError):  # it was killed just now
                self._audit(self._running.metrics())

    def finish(self):
        self._ending.set()
        self.join()

    def _audit(self, metrics):
        def total(name):
            return sum(v for key, v in metrics.items() if key.startswith(name))

        accounted = metrics["messages_accepted_total"]
        accounted += total("messages_rejected_total") + total("messages_skipped_total")
        if metrics["messages_received_total"] != accounted:
            self.imbalances.append(metrics)
        if metrics["sink_unaccounted/influxdb"]:
            self.imbalances.append(metrics)
        self.scrapes += 1


class Storm:
    """One fault after the other, at random."""

    def __init__(self, rng, broker, influxdb, database, running, fleet):
        self._rng = rng
        self._broker, self._influxdb, self._database = broker, influxdb, database
        self._running, self._fleet = running, fleet
        self._is_failing = self._is_refusing = False
        database.answer = self._answer
        self.faults = {}

    def strike(self):
        fault = self._rng.choice(
            [
                self.bridge_is_killed,
                self.bridge_is_killed,
                self.bridge_is_stopped,
                self.broker_is_restarted,
                self.broker_is_killed,
                self.database_is_killed,
                self.database_fails,
                self.proxy_refuses_everything,
            ]
        )
        fault()
        self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1

    def bridge_is_killed(self):
        self._running.kill()
        self._running.start(wait=False)

    def bridge_is_stopped(self):
        # Within a moment of a start there is no handler yet for the signal.
        eventually(lambda: self._running.get("/healthz"))
        assert self._running.stop() == 0
        self._running.start(wait=False)

    def broker_is_restarted(self):
        self._broker.stop()
        self._broker.start()

    def broker_is_killed(self):
        """When it has nothing to lose: Mosquitto saves its queues every 30 s only."""
        self._fleet.pause()
        eventually(self._bridge_has_everything, timeout=120)
        self._broker.kill()
        self._broker.start()
        eventually(self._bridge_is_subscribed, timeout=60)
        self._fleet.resume()

    def database_is_killed(self):
        self._influxdb.kill()
        time.sleep(self._rng.uniform(0.5, 3))
        self._influxdb.start()

    def database_fails(self):
        self._is_failing = True
        time.sleep(self._rng.uniform(0.5, 3))
        self._is_failing = False

    def proxy_refuses_everything(self):
        """In words that say nothing of rows: not one may become a dead letter."""
        self._is_refusing = True
        time.sleep(self._rng.uniform(0.5, 3))
        self._is_refusing = False

    def _answer(self, request):
        """Hands a write on; in bad times it is slow, refuses, or denies a success."""
        if self._is_refusing:
            return Answer(400, "Client sent an HTTP request to an HTTPS server.")
        if self._is_failing:
            time.sleep(self._rng.uniform(0, 0.5))
            status = self._rng.choice([204, 204, 401, 404, 429, 500, 503])
            if status not in (204, 500):
                return Answer(status)
        else:
            status = 204
        try:
            self._influxdb.write(b"\n".join(request.lines))
        except OSError:
            return Answer(502)
        return Answer(status)  # a 500 after the write: it will be written again

    def _bridge_has_everything(self):
        metrics = self._running.metrics()
        unacknowledged = metrics["mqtt_unacknowledged_messages"]
        quiet = metrics["mqtt_connected"] and not unacknowledged
        time.sleep(1)  # and none come any more
        again = self._running.metrics()
        same = metrics["messages_received_total"] == again["messages_received_total"]
        return quiet and same and not again["mqtt_unacknowledged_messages"]

    def _bridge_is_subscribed(self):
        return self._running.metrics()["mqtt_connected"]


def _chaos(seconds, mosquitto, influxdb, scripted_http, bridge):
    rng = random.Random(time.time_ns())
    table = {"url": scripted_http.url, "api": "v1", "database": influxdb.database}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    fleet, auditor = Fleet(mosquitto, rng), Auditor(running)
    storm = Storm(rng, mosquitto, influxdb, scripted_http, running, fleet)
    fleet.start()
    auditor.start()
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(rng.uniform(0.5, 4))
            storm.strike()
    finally:
        fleet.finish()
    with contextlib.suppress(AssertionError):
        eventually(lambda: stored.in_influxdb(influxdb) == fleet.points, timeout=120)
    auditor.finish()
    found = stored.in_influxdb(influxdb)
    logging.getLogger(__name__).info(
        "%d messages, %d scrapes, %s", len(fleet.points), auditor.scrapes, storm.faults
    )
    assert len(fleet.points) > seconds * RATE / 10
    assert found.keys() - fleet.points.keys() == set()
    assert fleet.points.keys() - found.keys() == set()
    assert found == fleet.points
    assert auditor.imbalances == []
    assert auditor.scrapes > seconds / 4
    assert "Traceback" not in running.log


@pytest.mark.timeout(420)
def test_two_minutes_of_chaos(mosquitto, influxdb, scripted_http, bridge):
    _chaos(110, mosquitto, influxdb, scripted_http, bridge)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_half_an_hour_of_chaos(mosquitto, influxdb, scripted_http, bridge):
    _chaos(1800, mosquitto, influxdb, scripted_http, bridge)


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
