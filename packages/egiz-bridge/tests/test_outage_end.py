"""An outage is over when the sink has accepted something, not when it was not asked."""

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import BEYOND_RETENTION, Rejected, Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline.writer import Writer
from egiz_bridge.spool import Spool

OLD, NEW = 1_000, 1_706_352_600_000


class _Sink:
    name = "toy"
    is_gone = False

    def write(self, rows):
        if self.is_gone:
            raise Unavailable("HTTP 404: the bucket is gone")
        if any(row.message.received_ms == OLD for row in rows):
            raise Rejected(
                "points beyond retention policy",
                reason=BEYOND_RETENTION,
                dropped=len(rows),
            )

    def probe(self):
        if self.is_gone:
            raise Unavailable("HTTP 404: the bucket is gone")

    def close(self):
        pass


def _row(time_ms):
    message = Message("sensors/f/oven-1/telemetry", b"{}", time_ms)
    return Row(message, b"telemetry,x=y a=1 %d" % time_ms)


@pytest.fixture
def writer(tmp_path):
    spool, ledger, sink = Spool(tmp_path / "s.sqlite", 2**20), Ledger(), _Sink()
    ledger.open("toy")
    made = Writer("toy", lambda: sink, spool, ledger, lambda _: None)
    made.sink, made.ledger = sink, ledger
    yield made
    if made._recovery:  # noqa: SLF001  # as its thread would
        made._recovery.end()  # noqa: SLF001  # as above
    spool.close()


def _write(writer, time_ms):
    outcome = writer._write([_row(time_ms)])  # noqa: SLF001  # as for each batch
    return outcome, writer.ledger.snapshot().sinks["toy"].trouble


def test_a_batch_of_which_nothing_is_sent_ends_no_outage(writer):
    assert _write(writer, OLD)[0].dead == 1  # known as beyond the retention from now on
    writer.sink.is_gone = True
    assert "the bucket is gone" in _write(writer, NEW)[1]
    for _ in range(3):
        outcome, trouble = _write(writer, OLD)
        assert (outcome.dead, outcome.has_asked) == (1, False)
        assert "the bucket is gone" in trouble
    writer.sink.is_gone = False
    outcome, trouble = _write(writer, NEW)
    assert (outcome.written, outcome.has_asked, trouble) == (1, True, "")
