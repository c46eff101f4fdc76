"""A database that hangs or is away for long: memory flat, live data fresh.

The rates are those of a large factory, so these run by hand (`-m soak`).
"""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rig.load import PROBE
from rig.waiting import eventually

_log = logging.getLogger(__name__)


def _load(broker, rate, seconds):
    command = [sys.executable, "-m", "rig.load", str(broker.port), str(rate)]
    return subprocess.Popen(
        [*command, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


def _sent(load):
    output, _ = load.communicate(timeout=60)
    return int(output)


def _resident_mib(running):
    return running.metrics()["process_resident_memory_bytes"] / 2**20


def _is_alive(running, seconds):
    """Health and connection are asked for all the time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert running.get("/healthz")[0] == 200
        assert running.metrics()["mqtt_connections_total"] == 1
        time.sleep(0.5)


def _share_of_quick_turns(running):
    """Of the turns of the main loop, those that left the socket for 0.1 s at most."""
    metrics = running.metrics()
    name = "main_loop_turn_seconds"
    return metrics[f"{name}_bucket/0.1"] / metrics[f"{name}_count"]


def _count(database):
    database.get("/internal/force_flush")
    found = database.series('{__name__="telemetry_seq"}')
    return sum(len(one["values"]) for one in found)


def _everything_is_stored(running, database, sent):
    def is_written():
        metrics = running.metrics()
        return metrics["sink_written_total/influxdb"] == sent

    eventually(is_written, timeout=600)
    eventually(lambda: _count(database) == sent, timeout=30)
    metrics = running.metrics()
    assert metrics["sink_spooled/influxdb"] == 0
    assert metrics["sink_unaccounted/influxdb"] == 0
    assert metrics["mqtt_connections_total"] == 1


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seconds", [300])
def test_a_database_that_hangs_for_five_minutes_at_full_rate(
    mosquitto, victoriametrics, bridge, proxy, seconds
):
    between = proxy(victoriametrics.host, victoriametrics.port)
    table = {"url": f"http://{between.host}:{between.port}", "bucket": "b"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    load = _load(mosquitto, 10_000, seconds + 20)
    _is_alive(running, 10)
    before_mib = _resident_mib(running)
    between.pause()
    _is_alive(running, seconds)
    during_mib = _resident_mib(running)
    between.cut()
    between.resume()
    sent = _sent(load)
    _everything_is_stored(running, victoriametrics, sent)
    quick = _share_of_quick_turns(running)
    _log.info(
        "%d messages; %.0f MiB, then %.0f; %.4f %% of all turns within 0.1 s",
        *(sent, before_mib, during_mib, 100 * quick),
    )
    assert during_mib < before_mib + 40
    assert quick > 0.999
    assert running.stop() == 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_hour_of_outage_ten_times_as_fast(mosquitto, victoriametrics, bridge):
    """3.6 million messages wait; meanwhile a live one is there within seconds."""
    table = {"url": victoriametrics.url, "bucket": "b"}
    running = bridge(mosquitto.url, influxdb=table)
    victoriametrics.stop()
    running.start()
    outage = _load(mosquitto, 10_000, 360)
    _is_alive(running, 360)
    missed = _sent(outage)
    during_mib = _resident_mib(running)
    spool_mib = running.spool.stat().st_size / 2**20
    victoriametrics.start()
    live = _load(mosquitto, 1000, 30)
    ages_s = []
    while live.poll() is None:
        found = victoriametrics.series(f'telemetry_seq{{device_id="{PROBE}"}}')
        newest_ms = max((max(one["timestamps"]) for one in found), default=0)
        ages_s.append(time.time() - newest_ms / 1000)
        time.sleep(0.2)
    sent = missed + _sent(live)
    # The sink rests for up to half a minute before it is tried again.
    fresh = sorted(ages_s[len(ages_s) // 2 :])
    _everything_is_stored(running, victoriametrics, sent)
    _log.info(
        "%d messages; %.0f MiB resident; spool %.0f MiB; live p99 %.1f s",
        *(sent, during_mib, spool_mib, fresh[len(fresh) * 99 // 100]),
    )
    assert during_mib < 150
    assert fresh[len(fresh) * 99 // 100] < 5
    assert running.stop() == 0
