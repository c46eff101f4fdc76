"""A spool that is full, on a full disk, damaged or old, in a bridge that runs on."""

import random
import resource
import sqlite3
import time
from contextlib import closing

import pytest
from rig import stored
from rig.publisher import Publisher
from rig.waiting import eventually

BEGIN_S = 1706352600


@pytest.fixture
def publish(mosquitto):
    """`publish(count)`: as many messages of a few devices, none like another.

    With `bulky`, each carries 3 KB that cannot be compressed, in an unknown field.
    """
    with Publisher(mosquitto) as publisher:
        sent = 0

        def send(count, bulky=False):
            nonlocal sent
            for number in range(sent, sent + count):
                device = f"oven-{number % 7}"
                payload = (
                    f'{{"device_id":"{device}","timestamp":{BEGIN_S + number},'
                    f'"thermal":{{"setpoint":{number / 8}}}'
                    f',"note":"{random.randbytes(1500 * bulky).hex()}"}}'
                )
                publisher.publish(f"sensors/factory/{device}/telemetry", payload)
            sent += count

        yield send


@pytest.fixture
def outage(mosquitto, influxdb, bridge):
    """A bridge without its database; `outage(max_bytes=...)` starts it."""

    def begin(**spool):
        table = {"url": influxdb.url, "api": "v1", "database": influxdb.database}
        running = bridge(mosquitto.url, influxdb=table)
        text = "".join(f"{key} = {value}\n" for key, value in spool.items())
        text = running.config.read_text().replace("[spool]\n", f"[spool]\n{text}")
        running.config.write_text(text)
        influxdb.stop()
        running.start()
        return running

    return begin


def _count_of(running, name):
    return running.metrics()[name]


def _is_stored(influxdb, count):
    eventually(lambda: len(stored.in_influxdb(influxdb)) == count, timeout=60)


def _has_backpressure(running):
    eventually(
        lambda: "backpressure: sink and spool unavailable" in running.log, timeout=30
    )

    def only_spooled_is_acknowledged():  # once what came before is stored
        metrics = running.metrics()
        acknowledged = metrics["messages_acknowledged_total"]
        received = metrics["messages_received_total"]
        spooled = metrics["sink_spooled/influxdb"]
        return acknowledged == spooled and acknowledged < received

    eventually(only_spooled_is_acknowledged)


def test_a_full_spool_causes_backpressure_and_everything_arrives_later(
    outage, publish, influxdb
):
    running = outage(max_bytes=1024**2)
    rows = 0
    while "backpressure" not in running.log:
        publish(100, bulky=True)
        rows += 100
    _has_backpressure(running)
    influxdb.start()
    _is_stored(influxdb, rows)
    eventually(lambda: _count_of(running, "messages_acknowledged_total") == rows)
    assert _count_of(running, "sink_unaccounted/influxdb") == 0
    assert running.stop() == 0


def test_a_full_disk_causes_backpressure_and_everything_arrives_later(
    outage, publish, influxdb
):
    """The disk is played by the kernel's limit on the size of a file."""
    running = outage()
    publish(100)
    eventually(lambda: _count_of(running, "sink_spooled/influxdb") == 100)
    size = running.spool.with_name("spool.sqlite-wal").stat().st_size
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size + 9000, -1))
    for _ in range(5):
        publish(1000)
        time.sleep(0.3)
    _has_backpressure(running)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (-1, -1))
    eventually(lambda: _count_of(running, "sink_spooled/influxdb") == 5100, timeout=40)
    influxdb.start()
    _is_stored(influxdb, 5100)
    assert _count_of(running, "sink_unaccounted/influxdb") == 0
    assert running.stop() == 0


def test_a_damaged_spool_is_set_aside_and_the_service_goes_on(
    outage, publish, influxdb
):
    running = outage()
    for _ in range(10):
        publish(100)
        time.sleep(0.1)
    eventually(lambda: _count_of(running, "sink_spooled/influxdb") == 1000)
    with closing(sqlite3.connect(running.spool)) as db, db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    with running.spool.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (running.spool.stat().st_size - 4096))
    publish(500)
    eventually(lambda: _count_of(running, "files_set_aside_total/spool") == 1)
    influxdb.start()
    _is_stored(influxdb, 500)
    eventually(lambda: _count_of(running, "sink_set_aside_total/influxdb") == 1000)
    metrics = running.metrics()
    assert metrics["sink_written_total/influxdb"] == 500
    assert metrics["sink_spooled/influxdb"] == metrics["sink_unaccounted/influxdb"] == 0
    assert metrics["messages_acknowledged_total"] == 1500
    assert len(list(running.directory.glob("spool.sqlite.damaged-*"))) >= 1
    assert "spool damaged: the file is renamed" in running.log
    assert running.stop() == 0


def test_an_unreadable_spool_does_not_prevent_the_start(outage, publish, influxdb):
    running = outage()
    assert running.stop() == 0
    running.spool.write_bytes(b"nonsense" * 1000)
    running.start()
    publish(10)
    influxdb.start()
    _is_stored(influxdb, 10)
    assert _count_of(running, "files_set_aside_total/spool") == 1
    assert running.stop() == 0


def test_what_has_waited_for_too_long_is_dropped_and_counted(outage, publish, influxdb):
    running = outage(max_age_days=1)
    publish(10)
    eventually(lambda: _count_of(running, "sink_spooled/influxdb") == 10)
    with closing(sqlite3.connect(running.spool)) as db, db:
        db.execute("UPDATE batches SET received_ms = received_ms - 86500000")
    db.close()
    publish(5)
    eventually(lambda: _count_of(running, "sink_expired_total/influxdb") == 10)
    influxdb.start()
    _is_stored(influxdb, 5)
    assert _count_of(running, "sink_unaccounted/influxdb") == 0
    assert "spool.max_age_days" in running.log
    assert running.stop() == 0
