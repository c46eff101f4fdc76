"""Garbage while the disk of the spool is full: bounded, red, and the rest flows."""

import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from egiz_bridge.batch import Batch, DeadLetter, Message
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline import rejects
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.spool import Spool
from egiz_schema.limits import PAYLOAD_BYTES_MAX
from paho.mqtt.enums import CallbackAPIVersion
from rig.scripted_http import Answer
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
GARBAGE_TOPIC = "sensors/zigbee/bridge/log"
GARBAGE = b"x" * 8000
# What may wait, and the interpreter's own overhead beside it.
MEMORY_MAX = rejects.BYTES_MAX + rejects.QOS0_BYTES_MAX + 20 * 1024**2


@pytest.fixture
def send(mosquitto):
    """`send(topic, payload, qos)`: gives what to wait for."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "sender")
    client.max_inflight_messages_set(1000)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    yield client.publish
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def running(mosquitto, bridge, scripted_http):
    """A bridge with a spool that is on a full disk, and a database that is not.

    The disk is played by the kernel's limit on the size of a file.
    """
    made = bridge(mosquitto.url, influxdb={"url": scripted_http.url, "bucket": "b"})
    made.start()
    eventually(lambda: made.metrics()["sink_up/influxdb"])
    size = made.spool.with_name("spool.sqlite-wal").stat().st_size
    _limit(made, size + 9000)
    return made


def _limit(running, size):
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, -1))


def _resident(running):
    pages = Path(f"/proc/{running.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def _reading(number):
    time_s = 1706352600 + number
    return b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}' % time_s


def _letters(running):
    with closing(sqlite3.connect(running.spool)) as db:
        return db.execute("SELECT count(*) FROM dead_letters").fetchone()[0]


def _metric(running, name):
    return running.metrics()[name]


def _is_red(running):
    status, body = running.get("/readyz")
    return status == 503 and "dead letters: " in body


def test_garbage_at_qos_0_delays_no_acknowledgement_and_uses_little_memory(
    running, send, scripted_http
):
    before = _resident(running)
    for number in range(6000):  # 48 MB
        send(GARBAGE_TOPIC, GARBAGE, 0)
        if number % 100 == 0:
            send(TOPIC, _reading(number), 1).wait_for_publish(30)
    eventually(lambda: _metric(running, "messages_acknowledged_total") == 60)
    eventually(lambda: _is_red(running))
    assert len(scripted_http.lines) == 60
    assert _resident(running) - before < MEMORY_MAX
    stored = _letters(running)  # before the disk was full

    def all_are_counted():  # with the batch that was not full
        found = running.metrics()
        rejected = sum(n for k, n in found.items() if "messages_rejected" in k)
        kept = found["dead_letters_waiting"] + found["dead_letters_lost_total"]
        return rejected == kept + stored > 5000 and found

    metrics = eventually(all_are_counted)
    waiting = metrics["dead_letters_waiting"]
    assert 100 < waiting <= rejects.QOS0_BYTES_MAX / PAYLOAD_BYTES_MAX
    _limit(running, -1)
    eventually(lambda: running.get("/readyz")[0] == 200)
    eventually(lambda: _letters(running) == stored + waiting)
    assert _metric(running, "dead_letters_waiting") == 0
    assert running.stop() == 0


def test_garbage_at_qos_1_is_not_acknowledged_before_it_is_stored(running, send):
    before = _resident(running)
    for _ in range(6000):
        send(GARBAGE_TOPIC, GARBAGE, 1)
    eventually(lambda: _is_red(running))
    time.sleep(3)
    assert _metric(running, "messages_acknowledged_total") == 0
    assert _resident(running) - before < MEMORY_MAX
    assert running.get("/healthz")[0] == 200
    _limit(running, -1)
    eventually(lambda: _metric(running, "messages_acknowledged_total") == 6000, 120)
    assert running.get("/readyz")[0] == 200
    assert _letters(running) == 6000
    assert running.stop() == 0


def test_what_a_database_refuses_waits_at_the_broker_until_it_is_stored(
    running, send, scripted_http
):
    def answer(request):
        bad = [line.decode() for line in request.lines if b"setpoint=2" in line]
        text = "\n".join(f"unable to parse '{line}': bad" for line in bad)
        return Answer(400, text) if bad else Answer()

    scripted_http.answer = answer
    before = _resident(running)
    for number in range(6000):
        payload = _reading(number)
        if number % 10 == 5:
            payload = payload.replace(b'"setpoint":1', b'"setpoint":2')
        send(TOPIC, payload, 1)
    eventually(lambda: "spool.sqlite: " in running.get("/readyz")[1])
    time.sleep(2)
    assert _resident(running) - before < MEMORY_MAX
    metrics = running.metrics()
    stored = sum(
        metrics[f"sink_{name}/influxdb"]
        for name in ("written_total", "dead_total", "spooled")
    )
    assert metrics["messages_acknowledged_total"] <= stored < 6000
    _limit(running, -1)
    eventually(lambda: _metric(running, "messages_acknowledged_total") == 6000, 120)
    eventually(lambda: _metric(running, "sink_dead_total/influxdb") == 600)
    assert _metric(running, "sink_written_total/influxdb") == 5400
    assert _metric(running, "sink_unaccounted/influxdb") == 0
    assert _letters(running) == 600
    assert len(scripted_http.lines) == 5400
    assert running.get("/readyz")[0] == 200


def _letter(size):
    return DeadLetter(Message("t", b"x" * size, 0), "bad_topic", "")


@pytest.fixture
def dispatcher(tmp_path, monkeypatch):
    """(dispatcher, ledger, spool); `spool.is_full` says what the disk does."""
    spool, ledger = Spool(tmp_path / "spool.sqlite", 1024**3), Ledger()
    real, spool.is_full = spool.dead_letters.add, True

    def add(letters, sink=""):
        if spool.is_full:
            raise Unavailable("the disk is full")
        real(letters, sink)

    monkeypatch.setattr(spool.dead_letters, "add", add)
    monkeypatch.setattr(rejects, "_AGAIN_S", 0.0)
    made = Dispatcher(spool, ledger, lambda: None)
    yield made, ledger, spool
    made.stop(5)
    spool.close()


def test_reading_stops_at_a_bound_and_goes_on_after_it(dispatcher):
    dispatcher, ledger, spool = dispatcher
    count = 0
    while not dispatcher.is_full:
        count += 1
        dispatcher.offer(Batch(0, rejects=[_letter(4096)], packet_ids=[count]))
    assert count == pytest.approx(rejects.BYTES_MAX / 4600, rel=0.01)
    assert dispatcher.collect() == []
    assert ledger.snapshot().dead_letters_waiting == count
    assert ledger.snapshot().dead_letters_trouble == "the disk is full"
    spool.is_full = False
    acknowledged = []

    def is_idle():
        acknowledged.extend(dispatcher.collect())
        return dispatcher.is_idle()

    eventually(is_idle)
    assert [batch.packet_ids for batch in acknowledged] == [
        [number] for number in range(1, count + 1)
    ]
    assert not dispatcher.is_full
    counts = ledger.snapshot()
    assert (counts.dead_letters_waiting, counts.dead_letters_lost) == (0, 0)
    assert counts.dead_letters_trouble == ""


def test_a_reject_at_qos_0_holds_no_batch_and_no_stop(dispatcher):
    dispatcher, ledger, _ = dispatcher
    batch = Batch(0, packet_ids=[1], rejects_qos0=[_letter(10)])
    dispatcher.offer(batch)
    assert [one.packet_ids for one in dispatcher.collect()] == [[1]]
    assert dispatcher.is_idle()
    assert ledger.snapshot().dead_letters_waiting == 1


def test_the_oldest_at_qos_0_are_dropped_and_counted(dispatcher):
    dispatcher, ledger, _ = dispatcher
    for _ in range(3000):
        dispatcher.offer(Batch(0, rejects_qos0=[_letter(4096)]))
    counts = ledger.snapshot()
    assert counts.dead_letters_waiting + counts.dead_letters_lost == 3000
    assert counts.dead_letters_waiting * 4597 <= rejects.QOS0_BYTES_MAX
    assert not dispatcher.is_full


def test_rows_of_batches_that_wait_for_a_reject_are_not_kept(dispatcher):
    dispatcher, _, _ = dispatcher
    first = Batch(0, rejects=[_letter(10)], packet_ids=[1])
    dispatcher.offer(first)
    later = Batch(0, packet_ids=[2], rows=["row"] * 10, rows_for={"x": []}, writing=1)
    dispatcher._ack_order.enter(later)  # noqa: SLF001  # as if a writer had it
    dispatcher.waiting = 10
    dispatcher._is_stored(later)  # noqa: SLF001  # as a writer does
    assert dispatcher.collect() == []
    assert (later.rows, later.rows_for, dispatcher.waiting) == ([], {}, 0)
