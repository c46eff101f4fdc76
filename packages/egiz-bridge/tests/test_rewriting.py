"""A database that acknowledges before it stores: after a crash, it gets it again."""

import random
import threading
import time

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Rejected, Unavailable
from egiz_bridge.sinks import rewriting
from egiz_bridge.sinks.rewriting import RewritingSink
from rig.load import Connection
from rig.messages import message
from rig.publisher import Publisher
from rig.waiting import eventually
from structlog.testing import capture_logs


class CrashingSink:
    """Keeps writes in memory until `flush`; `crash` loses them."""

    name = "database"

    def __init__(self):
        self.losses = 0
        self.stored, self.pending, self.requests = set(), [], 0
        self.error = None

    def write(self, rows):
        self.requests += 1
        if self.error:
            raise self.error
        self.pending += [line for row in rows for line in row.line.split(b"\n")]

    def flush(self):
        self.stored |= set(self.pending)
        self.pending = []

    def crash(self):
        self.pending = []


def _rows(*numbers):
    return [Row(Message("t", b"", 0), b"line %d" % number) for number in numbers]


def _lines(*numbers):
    return {b"line %d" % number for number in numbers}


@pytest.fixture
def sink():
    return CrashingSink()


def test_what_was_written_before_an_outage_is_written_again_first(sink):
    rewriting_sink = RewritingSink(sink, 10)
    rewriting_sink.write(_rows(1, 2))
    rewriting_sink.write(_rows(3))
    sink.crash()
    sink.error = Unavailable("away")
    with pytest.raises(Unavailable):
        rewriting_sink.write(_rows(4))
    sink.error = None
    rewriting_sink.write(_rows(4))
    assert sink.pending == [b"line 1", b"line 2", b"line 3", b"line 4"]
    requests = sink.requests
    rewriting_sink.write(_rows(5))
    assert sink.requests == requests + 1  # and only once


def test_a_restart_between_two_writes_is_noticed_by_the_connection(sink):
    rewriting_sink = RewritingSink(sink, 10)
    rewriting_sink.write(_rows(1, 2))
    sink.crash()
    sink.losses += 1
    rewriting_sink.write(_rows(3))
    sink.flush()
    assert sink.stored == _lines(1, 2, 3)


@pytest.mark.parametrize("answered", [0, 1, 3])
def test_an_outage_while_it_is_written_again_begins_from_the_start(sink, answered):
    rewriting_sink = RewritingSink(sink, 10)
    for number in range(5):
        rewriting_sink.write(_rows(number))
    sink.crash()
    sink.losses += 1
    write, answers = sink.write, [True] * (1 + answered) + [False]

    def fails_later(rows):
        if not answers.pop(0):
            raise Unavailable("away again")
        write(rows)

    sink.write = fails_later
    with pytest.raises(Unavailable):
        rewriting_sink.write(_rows(5))
    sink.crash()
    sink.write = write
    rewriting_sink.write(_rows(5))
    sink.flush()
    assert sink.stored == _lines(*range(6))


def test_a_database_that_crashes_all_the_time_gets_all_of_it(sink, monkeypatch):
    """What counts is how long it has had a row since its last crash."""
    clock_s = 1000.0
    monkeypatch.setattr(rewriting.time, "monotonic", lambda: clock_s)
    rewriting_sink = RewritingSink(sink, 10)
    for number in range(20):
        rewriting_sink.write(_rows(number))
        sink.crash()
        sink.losses += 1
        clock_s += 3
    rewriting_sink.write(_rows(20))
    assert set(sink.pending) == _lines(*range(21))


def test_rows_that_are_refused_now_hold_nothing_up(sink):
    rewriting_sink = RewritingSink(sink, 10)
    rewriting_sink.write(_rows(1))
    sink.losses += 1
    write = sink.write

    def refuses_old_rows(rows):
        if rows[0].line == b"line 1":
            raise Rejected("beyond retention")
        write(rows)

    sink.write = refuses_old_rows
    rewriting_sink.write(_rows(2))
    assert sink.pending == [b"line 1", b"line 2"]


def test_of_a_batch_with_a_row_that_is_refused_now_the_others_are_written(sink):
    rewriting_sink = RewritingSink(sink, 10)
    rewriting_sink.write(_rows(*range(20)))
    sink.crash()
    sink.losses += 1
    write = sink.write

    def refuses_some(rows):
        lines = [line for row in rows for line in row.line.split(b"\n")]
        if _lines(3, 11, 12) & set(lines):
            raise Rejected("field type conflict")
        write(rows)

    sink.write = refuses_some
    with capture_logs() as logged:
        rewriting_sink.write(_rows(99))
    given_up = _lines(3, 11, 12)
    assert set(sink.pending) == _lines(*range(20), 99) - given_up
    assert [(e["given_up"], e["messages"]) for e in logged if "given_up" in e] == [
        (3, 17)
    ]
    # What was written again is lost again.
    sink.crash()
    sink.losses += 1
    rewriting_sink.write(_rows(100))
    assert set(sink.pending) == _lines(*range(20), 99, 100) - given_up


def test_a_refusal_that_is_not_about_rows_is_an_outage(sink):
    rewriting_sink = RewritingSink(sink, 10)
    rewriting_sink.write(_rows(1))
    sink.losses += 1
    write = sink.write

    def refuses_all(rows):
        if rows[0].line == b"line 1":
            raise Rejected("no such path", is_about_rows=False)
        write(rows)

    sink.write = refuses_all
    with pytest.raises(Unavailable, match="no such path"):
        rewriting_sink.write(_rows(2))
    sink.crash()
    sink.write = write
    rewriting_sink.write(_rows(2))
    sink.flush()
    assert sink.stored == _lines(1, 2)


def test_what_is_kept_is_bounded_in_bytes(sink, monkeypatch):
    monkeypatch.setattr(rewriting, "BYTES_MAX", 100_000)
    texts = [random.Random(number).randbytes(1000).hex() for number in range(500)]
    rows = [[Row(Message("t", b"", 0), text.encode())] for text in texts]
    rewriting_sink = RewritingSink(sink, 10)
    for one in rows[:-1]:
        rewriting_sink.write(one)
    sink.crash()
    sink.losses += 1
    rewriting_sink.write(rows[-1])
    # In hexadecimal digits are 4 bits in a byte, and compression finds out.
    assert 80 < len(sink.pending) <= 100
    assert set(sink.pending) == {line for ((_, line),) in rows[-len(sink.pending) :]}


def test_what_is_kept_is_bounded_in_time(sink, monkeypatch):
    clock_s = 1000.0
    monkeypatch.setattr(rewriting.time, "monotonic", lambda: clock_s)
    rewriting_sink = RewritingSink(sink, 10)
    for number in range(20):
        rewriting_sink.write(_rows(number))
        clock_s += 3
    sink.crash()
    sink.losses += 1
    rewriting_sink.write(_rows(20))
    assert set(sink.pending) == _lines(16, 17, 18, 19, 20)


def test_new_rows_do_not_wait_for_all_of_it(sink, monkeypatch):
    clock_s = 1000.0
    monkeypatch.setattr(rewriting.time, "monotonic", lambda: clock_s)
    rewriting_sink = RewritingSink(sink, 10)
    for number in range(10):
        rewriting_sink.write(_rows(number))
    sink.crash()
    sink.losses += 1
    write = sink.write

    def slow(rows):
        nonlocal clock_s
        clock_s += 0.9
        write(rows)

    sink.write = slow
    rewriting_sink.write(_rows(10))
    assert sink.pending == [b"line 10", b"line 0", b"line 1", b"line 2"]
    for number in range(11, 15):
        rewriting_sink.write(_rows(number))
    sink.flush()
    assert sink.stored == _lines(*range(15))


def _stored(database):
    return {
        time_ms
        for series in database.series('{__name__="telemetry_seq"}')
        for time_ms in series["timestamps"]
    }


def test_a_victoriametrics_that_is_killed_under_load_loses_nothing(
    mosquitto, bridge, victoriametrics
):
    """SIGKILL, five times; it forgets seconds of what it has acknowledged."""
    table = {"url": victoriametrics.url, "org": "egiz", "bucket": "factory"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    connection = Connection(mosquitto.port)
    begin_ms = time.time_ns() // 1_000_000
    is_over = threading.Event()

    def publish():
        number = 0
        while not is_over.is_set():
            time_ms = begin_ms + number
            connection.publish([message("oven-1", time_ms, number)])
            number += 1
            time.sleep(0.005)

    load = threading.Thread(target=publish)
    load.start()
    for _ in range(5):
        time.sleep(2)
        victoriametrics.kill()
        victoriametrics.start()
    time.sleep(1)
    is_over.set()
    load.join()
    eventually(lambda: connection.read_acks(0.1))
    eventually(
        lambda: running.metrics()["sink_written_total/influxdb"] == connection.sent
    )
    sent = {begin_ms + number for number in range(connection.sent)}
    eventually(lambda: _stored(victoriametrics) == sent, timeout=20)
    assert "written again after an outage" in running.log
    connection.close()


def test_a_restart_between_two_messages_loses_nothing(
    mosquitto, bridge, victoriametrics
):
    table = {"url": victoriametrics.url, "org": "egiz", "bucket": "factory"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start()
    begin_ms = time.time_ns() // 1_000_000
    with Publisher(mosquitto) as publisher:
        for number in range(20):
            publisher.publish(*message("oven-1", begin_ms + number, number))
        eventually(lambda: running.metrics()["sink_written_total/influxdb"] == 20)
        victoriametrics.kill()
        victoriametrics.start()
        publisher.publish(*message("oven-1", begin_ms + 20, 20))
        eventually(lambda: running.metrics()["sink_written_total/influxdb"] == 21)
    assert running.metrics()["sink_up/influxdb"] == 1
    sent = {begin_ms + number for number in range(21)}
    eventually(lambda: _stored(victoriametrics) == sent, timeout=20)
