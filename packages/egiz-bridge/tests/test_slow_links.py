"""A link or a database that carries little at once gets small requests, and gets on."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from egiz_bridge.batch import Batch, Message, Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.pipeline import recovery, requests
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.isolation import Isolation
from egiz_bridge.pipeline.requests import Requests
from egiz_bridge.pipeline.rows import to_row
from egiz_bridge.sinks import exchange
from egiz_bridge.sinks.influxdb import InfluxdbTable
from egiz_bridge.sinks.rewriting import RewritingSink
from egiz_bridge.spool import Spool
from rig.scripted_http import Answer, ScriptedHttp
from rig.waiting import eventually

_LINE = b"telemetry,device_id=oven-%04d " + b"x" * 280 + b"=1 1706352600000"


def _rows(count):
    return [Row(Message("t", b"", 0), _LINE % number) for number in range(count)]


class Database:
    """Stores up to `most` rows of a request, in no time; more of them is an error."""

    name = "database"
    losses = 0

    def __init__(self, most=1000, error=None):
        self.most = most
        self.error = error or Unavailable("timed out", may_be_size=True)
        self.sizes = []
        self.stored = set()

    def write(self, rows):
        lines = [line for row in rows for line in row.line.split(b"\n")]
        self.sizes.append(len(lines))
        if len(lines) > self.most:
            raise self.error
        self.stored.update(lines)

    def probe(self):
        pass

    def close(self):
        pass


def _write_all(isolation, rows, turns=100):
    """As the writer does; gives how many turns ended with an error."""
    groups, errors = [rows], 0
    for _ in range(turns):
        outcome = isolation.write(groups[0])
        assert outcome.dead == 0
        errors += outcome.error is not None
        groups = outcome.rest + groups[1:]
        if not groups:
            return errors
    raise AssertionError(f"{turns} turns were not enough")


def _isolation(database):
    return Isolation(database, lambda _: None, lambda: None, lambda _: None)


@pytest.mark.parametrize("most", [500, 499, 100, 10])
def test_a_database_that_accepts_less_at_once_gets_less(most):
    database, rows = Database(most), _rows(1000)
    isolation = _isolation(database)
    assert _write_all(isolation, rows) <= 9
    assert database.stored == {row.line for row in rows}
    # What failed is not tried again soon.
    errors = sum(_write_all(isolation, rows) for _ in range(5))
    assert errors <= 2
    assert max(database.sizes[-2:]) <= most


def test_a_link_without_trouble_gets_no_more_requests():
    database = Database()
    isolation = _isolation(database)
    for _ in range(5):
        _write_all(isolation, _rows(1000))
    assert database.sizes == [1000] * 5


def test_after_an_outage_requests_are_soon_as_large_as_before():
    database = Database(most=0)
    isolation = _isolation(database)
    for _ in range(12):  # tries, each after a probe that succeeded
        with pytest.raises(AssertionError):
            _write_all(isolation, _rows(1000), turns=1)
    database.most = 1000
    database.sizes.clear()
    assert _write_all(isolation, _rows(1000)) == 0
    assert _write_all(isolation, _rows(1000)) == 0
    _write_all(isolation, _rows(1000))
    assert database.sizes[-1] == 1000
    assert len(database.sizes) < 14


def test_an_error_that_is_not_about_the_size_changes_nothing():
    database = Database(most=0, error=Unavailable("Connection refused"))
    isolation = _isolation(database)
    assert isolation.write(_rows(1000)).error
    database.most = 1000
    _write_all(isolation, _rows(1000))
    assert database.sizes == [1000, 1000]


def test_few_rows_that_fail_do_not_make_requests_smaller():
    database = Database(most=0)
    limited = Requests(database, lambda: None, lambda _: None)
    with pytest.raises(Unavailable):
        limited.send(_rows(requests.ROWS_MIN))
    assert limited.rows_max > 1000


def test_a_size_that_failed_is_tried_again_ever_more_rarely(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr(requests.time, "monotonic", lambda: now_s[0])
    database = Database(most=300)
    limited = Requests(database, lambda: None, lambda _: None)
    rows, failures = _rows(1000), []
    while now_s[0] < 3600:
        now_s[0] += 0.25
        try:
            limited.send(rows[: limited.rows_max])
        except Unavailable:
            failures.append(now_s[0])
    assert 10 < len(failures) < 30
    assert failures[-1] - failures[-2] >= 256


def test_requests_do_not_grow_while_they_are_slow(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr(requests.time, "monotonic", lambda: now_s[0])
    database = Database(most=300)

    def write_slowly(rows):
        now_s[0] += 0.02 * len(rows)
        Database.write(database, rows)

    database.write = write_slowly
    limited = Requests(database, lambda: None, lambda _: None)
    rows = _rows(1000)
    for _ in range(500):
        with suppress(Unavailable):
            limited.send(rows[: limited.rows_max])
    assert database.sizes[:3] == [1000, 500, 250]
    assert set(database.sizes[3:]) == {250}


@pytest.mark.parametrize(
    ("answer", "is_smaller_next"),
    [
        (Answer(500, "engine: cache-max-memory-size exceeded: (160000/150000)"), True),
        (Answer(503, "busy"), True),
        (Answer(504, "Gateway Time-out"), True),
        (Answer(408, "Request Timeout"), True),
        (Answer(503, "too many requests", (("Retry-After", "1"),)), False),
        (Answer(429, "too many requests"), False),
        (Answer(401, "who?"), False),
    ],
)
def test_which_answers_may_be_about_the_size(answer, is_smaller_next):
    server = ScriptedHttp()
    server.answer = lambda _: answer
    sink = InfluxdbTable(url=server.url, bucket="b", rewrite_seconds=0).open()
    with pytest.raises(Unavailable) as raised:
        sink.write(_rows(20))
    assert raised.value.may_be_size == is_smaller_next
    sink.close()
    server.close()


def test_a_server_that_is_not_there_is_not_about_the_size():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    sink = InfluxdbTable(url=url, bucket="b").open()
    with pytest.raises(Unavailable) as raised:
        sink.write(_rows(20))
    assert not raised.value.may_be_size


def test_what_is_written_again_is_smaller_too():
    database = Database()
    sink = RewritingSink(database, 20)
    sink.write(_rows(1000))
    database.most = 30  # now the link is slow
    database.stored.clear()
    with pytest.raises(Unavailable):
        sink.write(_rows(100))
    for _ in range(80):
        with suppress(Unavailable):
            sink.write(_rows(1))
    assert database.stored == {row.line for row in _rows(1000)}


class SlowLink:
    """Carries so many bytes a second to a server, over all connections."""

    def __init__(self, port, bytes_per_s):
        self._port, self._bytes_per_s = port, bytes_per_s
        self._carrying = threading.Lock()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self):
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for way in [(near, far, self._bytes_per_s), (far, near, 0)]:
                    threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, source, target, bytes_per_s):
        with suppress(OSError), source, target:
            while data := source.recv(1024):
                if bytes_per_s:
                    with self._carrying:
                        time.sleep(len(data) / bytes_per_s)
                target.sendall(data)


@pytest.fixture
def slow_database(monkeypatch):
    """A server behind a link that carries 90 rows before the deadline of a request."""
    monkeypatch.setattr(exchange, "ANSWER_S", 1.0)
    monkeypatch.setattr(exchange, "SEND_S", 1.0)
    monkeypatch.setattr(requests, "QUICK_S", 0.1)
    monkeypatch.setattr(recovery, "_BACKOFF", recovery.Backoff(0.2, 1))
    server = ScriptedHttp()
    link = SlowLink(int(server.url.rpartition(":")[2]), 30_000)
    yield server, link
    link.close()
    server.close()


def _messages(begin, end):
    zones = ",".join(["185.25"] * 16)
    for number in range(begin, end):
        payload = (
            f'{{"device_id":"oven-001","timestamp":{1706352600 + number},'
            f'"thermal":{{"temperature_zones":[{zones}]}}}}'
        )
        received_ms = (1706352600 + number) * 1000
        topic = "sensors/a/oven-001/telemetry"
        yield to_row(Message(topic, payload.encode(), received_ms))


def test_a_backlog_drains_over_a_slow_link_and_live_messages_are_not_behind_it(
    slow_database, tmp_path
):
    server, link = slow_database
    spool, ledger = Spool(tmp_path / "spool.sqlite", 4 * 1024**2), Ledger()
    dispatcher = Dispatcher(spool, ledger, lambda: None)
    dispatcher.configure([InfluxdbTable(url=link.url, bucket="b", rewrite_seconds=2)])

    def offer(rows):
        ids = list(range(len(rows)))
        dispatcher.offer(Batch(0, time.monotonic(), rows=rows, packet_ids=ids))

    backlog = list(_messages(0, 1000))
    offer(backlog)
    for number in range(20):
        offer(list(_messages(2000 + number, 2001 + number)))
        time.sleep(0.3)
    live = {row.line for row in _messages(2000, 2020)}
    eventually(lambda: live <= server.lines)
    assert not {row.line for row in backlog} <= server.lines
    eventually(lambda: {row.line for row in backlog} <= server.lines, timeout=120)
    eventually(lambda: ledger.snapshot().sinks["influxdb"].spooled == 0)
    counts = ledger.snapshot().sinks["influxdb"]
    assert (counts.written, counts.dead, counts.unaccounted) == (1020, 0, 0)
    dispatcher.stop(10)
    spool.close()
