"""Whatever a sink raises, and wherever: an outage of that sink, and nothing is lost."""

import threading

import pytest
from egiz_bridge import daemon
from egiz_bridge.batch import Batch, Message
from egiz_bridge.errors import ConfigError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline import recovery
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import Spool
from rig.waiting import eventually

PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1.5}}'
BATCHES = 8
ERRORS = [TypeError, OSError, MemoryError, SystemExit, KeyboardInterrupt, StopIteration]
SECRET = "Token s3cret"
CALLS = ["open", "probe", "write", "after the write", "close"]


class Faults:
    """Raises at chosen calls, and keeps what is written."""

    def __init__(self, call, error):
        self.call, self.error = call, error
        self.calls, self.raised = 0, 0
        self.stored = set()

    def at(self, call):
        """The first and the third of these calls fail."""
        if call == self.call:
            self.calls += 1
            if self.calls in (1, 3):
                self.raised += 1
                raise self.error(SECRET)


class FaultySink:
    name = "faulty"

    def __init__(self, faults):
        self._faults = faults
        faults.at("open")

    def write(self, rows):
        self._faults.at("write")
        self._faults.stored.update(row.message.payload for row in rows)
        self._faults.at("after the write")

    def probe(self):
        self._faults.at("probe")

    def close(self):
        self._faults.at("close")


class FaultyTable(SinkTable):
    key = "faulty"
    where = "key"


@pytest.fixture
def dispatcher(tmp_path):
    """(dispatcher, ledger, spool); it is stopped at the end."""
    spool, ledger = Spool(tmp_path / "spool.sqlite", 1024**2), Ledger()
    made = Dispatcher(spool, ledger, lambda: None)
    yield made, ledger, spool
    made.stop(5)
    spool.close()


def _offer(dispatcher, numbers):
    for number in numbers:
        payload = PAYLOAD % (1706352600 + number)
        message = Message("sensors/factory/oven-001/telemetry", payload, 1706352600_500)
        dispatcher.offer(Batch(0, rows=[to_row(message)], packet_ids=[number + 1]))


def _all_written(dispatcher, ledger, count):
    acknowledged = []

    def stored_or_dead():
        acknowledged.extend(dispatcher.collect())
        counts = ledger.snapshot().sinks["faulty"]
        return len(acknowledged) == count and counts.written == count

    eventually(stored_or_dead, timeout=20)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", CALLS)
def test_an_exception_of_a_sink_is_an_outage_and_everything_is_stored(
    dispatcher, monkeypatch, capsys, call, error
):
    dispatcher, ledger, _ = dispatcher
    faults = Faults(call, error)
    monkeypatch.setattr(FaultyTable, "open", lambda _: FaultySink(faults))
    dispatcher.configure([FaultyTable()])
    _offer(dispatcher, range(BATCHES))
    _all_written(dispatcher, ledger, BATCHES)
    assert faults.stored == {PAYLOAD % (1706352600 + n) for n in range(BATCHES)}
    counts = ledger.snapshot().sinks["faulty"]
    assert (counts.dead, counts.spooled, counts.unaccounted) == (0, 0, 0)
    assert counts.is_up
    dispatcher.stop(5)
    assert faults.raised
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err


def test_an_outage_ends_though_no_thread_can_be_started(dispatcher, monkeypatch):
    dispatcher, ledger, _ = dispatcher
    faults = Faults("probe", OSError)
    monkeypatch.setattr(FaultyTable, "open", lambda _: FaultySink(faults))

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(recovery.RecoveryProbe, "start", no_thread)
    dispatcher.configure([FaultyTable()])
    _offer(dispatcher, range(BATCHES))
    _all_written(dispatcher, ledger, BATCHES)
    assert ledger.snapshot().sinks["faulty"].is_up


def test_an_exception_of_the_spool_is_backpressure_until_it_works(
    dispatcher, monkeypatch
):
    dispatcher, ledger, spool = dispatcher
    faults = Faults("probe", OSError)
    monkeypatch.setattr(FaultyTable, "open", lambda _: FaultySink(faults))
    real, failed = spool.batches.put, threading.Event()

    def put(sink, messages):
        if not failed.is_set():
            failed.set()
            raise PermissionError(13, "Permission denied")
        real(sink, messages)

    monkeypatch.setattr(spool.batches, "put", put)
    dispatcher.configure([FaultyTable()])
    _offer(dispatcher, range(BATCHES))
    _all_written(dispatcher, ledger, BATCHES)
    assert failed.is_set()


def test_a_reload_with_a_sink_that_cannot_be_opened_is_refused(monkeypatch):
    faults = Faults("open", RecursionError)
    monkeypatch.setattr(FaultyTable, "open", lambda _: FaultySink(faults))
    with pytest.raises(ConfigError, match=r"faulty\.key: .*RecursionError"):
        daemon.check_sinks([FaultyTable()])
    daemon.check_sinks([FaultyTable()])
