"""Writers of sinks that change: what one leaves, the next has; none waits unseen."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from egiz_bridge.batch import Batch, Message
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.pipeline.writer import Writer
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import Spool
from rig.waiting import eventually

PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.5}}'
COUNT = 8


class Sink:
    """Keeps what is written, once it may."""

    name = "store"

    def __init__(self):
        self.may_write = threading.Event()
        self.stored = set()

    def write(self, rows):
        assert self.may_write.wait(60)
        self.stored.update(row.message.payload for row in rows)

    def probe(self):
        pass

    def close(self):
        pass


class Table(SinkTable):
    key = "store"
    where = "path"
    path: str


@pytest.fixture
def sinks(monkeypatch):
    """The sinks of two tables, by their path."""
    made = {"one": Sink(), "two": Sink()}
    made["two"].may_write.set()
    monkeypatch.setattr(Table, "open", lambda table: made[table.path])
    yield made
    made["one"].may_write.set()


@pytest.fixture
def bridge(sinks, tmp_path):
    """(dispatcher, ledger, spool); it is stopped at the end."""
    del sinks
    spool, ledger = Spool(tmp_path / "spool.sqlite", 1024**2), Ledger()
    made = Dispatcher(spool, ledger, lambda: None)
    yield made, ledger, spool
    made.stop(10)
    spool.close()


def _payloads(numbers):
    return {PAYLOAD % (1706352600 + number) for number in numbers}


def _offer(dispatcher, numbers):
    for payload in sorted(_payloads(numbers)):
        message = Message("sensors/factory/oven-001/telemetry", payload, 1706352600_500)
        dispatcher.offer(Batch(0, rows=[to_row(message)], packet_ids=[1]))


def _acknowledged(dispatcher, count):
    done = []
    eventually(lambda: done.extend(dispatcher.collect()) or len(done) >= count)
    assert len(done) == count


def test_a_writer_that_hangs_is_seen_after_its_sink_was_changed(bridge, sinks):
    """The one that replaces it waits for it, and both count as busy."""
    dispatcher, ledger, _ = bridge
    dispatcher.configure([Table(path="one")])
    _offer(dispatcher, range(COUNT))
    eventually(lambda: dispatcher.busy_seconds()["writer-store"] > 0)
    dispatcher.configure([Table(path="two")])
    _offer(dispatcher, range(COUNT, 2 * COUNT))
    assert ledger.snapshot().sinks["store"].trouble == "has not answered yet"
    eventually(lambda: dispatcher.busy_seconds()["writer-store"] > 0.3)
    assert dispatcher.collect() == []
    sinks["one"].may_write.set()
    _acknowledged(dispatcher, 2 * COUNT)
    assert sinks["one"].stored | sinks["two"].stored == _payloads(range(2 * COUNT))
    assert ledger.snapshot().sinks["store"].unaccounted == 0


def test_a_stop_waits_for_all_writers_no_longer_than_its_deadline(bridge):
    dispatcher, _, _ = bridge
    for path in ("one", "two", "one"):
        dispatcher.configure([Table(path=path)])
        _offer(dispatcher, range(1))
    began_s = time.monotonic()
    dispatcher.stop(1.0)
    assert 1.0 <= time.monotonic() - began_s < 1.8


def test_a_writer_starts_when_there_is_a_thread_for_it(bridge, sinks, monkeypatch):
    dispatcher, ledger, _ = bridge
    start, refusals = Writer.start, iter(range(3))

    def start_later(writer):
        if next(refusals, None) is not None:
            raise RuntimeError("can't start new thread")
        start(writer)

    monkeypatch.setattr(Writer, "start", start_later)
    dispatcher.configure([Table(path="two")])
    assert "can't start new thread" in ledger.snapshot().sinks["store"].trouble
    _offer(dispatcher, range(COUNT))
    _acknowledged(dispatcher, COUNT)
    assert sinks["two"].stored == _payloads(range(COUNT))
    assert ledger.snapshot().sinks["store"].is_up


def test_what_was_given_to_a_writer_that_never_started_is_written_by_the_next(
    bridge, sinks, monkeypatch
):
    dispatcher, ledger, _ = bridge
    start = Writer.start

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Writer, "start", no_thread)
    dispatcher.configure([Table(path="one")])
    _offer(dispatcher, range(COUNT))
    monkeypatch.setattr(Writer, "start", start)
    dispatcher.configure([Table(path="two")])
    _acknowledged(dispatcher, COUNT)
    assert sinks["two"].stored == _payloads(range(COUNT))
    assert ledger.snapshot().sinks["store"].unaccounted == 0


def test_what_waits_in_a_spool_that_is_locked_at_first_is_counted_later(
    bridge, sinks, tmp_path, monkeypatch
):
    """Another process holds it; the sink writes what comes meanwhile."""
    dispatcher, ledger, spool = bridge
    waiting = Message("sensors/factory/oven-001/telemetry", PAYLOAD % 1706352600, 1)
    spool.batches.put("store", [waiting])
    count, refusals = spool.batches.counts, iter(range(3))

    def counts():
        if next(refusals, None) is not None:
            raise Unavailable("spool.sqlite: database is locked")
        return count()

    monkeypatch.setattr(spool.batches, "counts", counts)
    dispatcher.configure([Table(path="two")])
    _offer(dispatcher, range(1, COUNT))
    _acknowledged(dispatcher, COUNT - 1)
    eventually(lambda: sinks["two"].stored == _payloads(range(COUNT)))
    eventually(lambda: ledger.snapshot().sinks["store"].spooled == 0)
    counts = ledger.snapshot().sinks["store"]
    assert (counts.restored, counts.written, counts.unaccounted) == (1, COUNT, 0)
    with closing(sqlite3.connect(tmp_path / "spool.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM batches").fetchone() == (0,)


def test_what_waits_in_a_locked_spool_is_counted_by_the_writer_that_can_read_it(
    bridge, sinks, monkeypatch
):
    """The sink was changed while nothing could be read."""
    dispatcher, ledger, spool = bridge
    waiting = Message("sensors/factory/oven-001/telemetry", PAYLOAD % 1706352600, 1)
    spool.batches.put("store", [waiting])
    count, is_locked = spool.batches.counts, threading.Event()
    is_locked.set()
    looks = []

    def counts():
        looks.append(1)
        if is_locked.is_set():
            raise Unavailable("spool.sqlite: database is locked")
        return count()

    monkeypatch.setattr(spool.batches, "counts", counts)
    dispatcher.configure([Table(path="one")])
    eventually(lambda: looks)
    dispatcher.configure([Table(path="two")])
    is_locked.clear()
    eventually(lambda: sinks["two"].stored == _payloads(range(1)))
    eventually(lambda: ledger.snapshot().sinks["store"].written == 1)
    counts = ledger.snapshot().sinks["store"]
    assert (counts.restored, counts.spooled, counts.unaccounted) == (1, 0, 0)


@pytest.mark.parametrize("is_purged", [True, False])
def test_a_sink_that_comes_back_has_what_the_spool_has_for_it_by_then(
    bridge, sinks, is_purged
):
    """What an operator purged meanwhile is no damage; what is there is counted."""
    dispatcher, ledger, spool = bridge
    waiting = Message("sensors/factory/oven-001/telemetry", PAYLOAD % 1706352600, 1)
    sinks["two"].probe = lambda: (_ for _ in ()).throw(Unavailable("away"))
    spool.batches.put("store", [waiting])
    dispatcher.configure([Table(path="two")])
    eventually(lambda: ledger.snapshot().sinks["store"].spooled == 1)
    dispatcher.configure([])
    eventually(
        lambda: dispatcher.collect() or ledger.snapshot().sinks["store"].is_removed
    )
    assert ledger.snapshot().sinks["store"].set_aside == 1
    if is_purged:
        spool.batches.drop(spool.batches.oldest("store"))
    del sinks["two"].probe
    dispatcher.configure([Table(path="two")])
    _offer(dispatcher, range(1, COUNT + 1))
    _acknowledged(dispatcher, COUNT)
    eventually(lambda: len(sinks["two"].stored) == COUNT + (not is_purged))
    eventually(lambda: ledger.snapshot().sinks["store"].spooled == 0)
    assert not spool.batches.counts().get("store")
    counts = ledger.snapshot().sinks["store"]
    assert (counts.set_aside, counts.spooled, counts.unaccounted) == (1, 0, 0)
