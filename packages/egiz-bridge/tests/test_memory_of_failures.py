"""Rows whose write failed are let go of at once: cycles are collected seldom."""

import gc
import weakref
from pathlib import Path

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Rejected, Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline.writer import Writer
from egiz_bridge.spool import Spool


class _Topic(str):
    """Of a row; it can be watched."""

    __slots__ = ("__weakref__",)


class _Sink:
    name = "toy"

    def __init__(self, error):
        self._error = error

    def write(self, rows):
        body = b"\n".join([row.line for row in rows])
        raise self._error(f"no, not these {len(body)} bytes")

    def probe(self):
        raise self._error("nor this")

    def close(self):
        pass


@pytest.fixture
def _without_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_gc")
@pytest.mark.parametrize(
    "error",
    [
        Unavailable,
        ZeroDivisionError,
        Rejected,
        lambda text: Rejected(text, is_about_rows=False),
    ],
    ids=["unavailable", "unexpected", "rejected", "refused"],
)
def test_no_row_of_a_failed_write_survives_it(tmp_path, error):
    ledger = Ledger()
    ledger.open("toy")
    spool = Spool(Path(tmp_path / "spool.sqlite"), 2**20)
    writer = Writer("toy", lambda: _Sink(error), spool, ledger, lambda _: None)
    watched = []

    def written():
        rows = [Row(Message(_Topic("t"), b"x", 0), b"y") for _ in range(50)]
        watched.extend(weakref.ref(row.message.topic) for row in rows)
        return writer._write(rows)  # noqa: SLF001  # what follows each batch

    for _ in range(5):
        outcome = written()
        assert outcome.error is not None
        del outcome
    recovery = writer._recovery  # noqa: SLF001  # its error is kept until a try
    if recovery:
        recovery.end()
    assert sum(ref() is not None for ref in watched) <= 1  # evidence.py keeps a row
    spool.close()
