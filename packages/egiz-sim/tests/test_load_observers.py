"""What a load reads from may be anything: a sentence, and every message counted."""

import asyncio
import base64
import contextlib
import http.server
import sqlite3
import threading
from types import SimpleNamespace

import pytest
from egiz_sim.load.archive import ArchiveObserver
from egiz_sim.load.database import DatabaseObserver
from egiz_sim.load.ledger import Sightings
from egiz_sim.load.observer import RECORD, Records
from egiz_sim.load.system import BridgeCounters, MetricsError

_BOOT = 7
_WRONG = {
    "a list": b"[1]",
    "a text": b'"x"',
    "nothing": b"null",
    "a number": b"3",
    "a result that is a text": b'{"results":["x"]}',
    "a series without tags": b'{"results":[{"series":[{"values":[[1,7,3]]}]}]}',
    "an infinite boot": b'{"results":[{"series":[{"tags":{"device_id":"a"},'
    b'"values":[[1,1e999,3]]}]}]}',
    "no UTF-8": b"\xff\xfe",
    "deep nesting": b"[" * 100_000,
}


@pytest.fixture
def server():
    """An HTTP server; `server.answer` is (status, headers, body)."""
    state = SimpleNamespace(answer=(200, {}, b""), headers=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.headers.append(self.headers)
            status, headers, body = state.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{made.server_address[1]}"
        yield state
        made.shutdown()


def _order(server, kind="influxdb1"):
    names = {"facility": "load", "boot": _BOOT, "devices": ["a", "b"]}
    login = {"username": "reader", "secret": "hidden", "database": "db"}
    return {"kind": kind, "url": server.url, **names, **login}


@pytest.mark.parametrize("kind", ["influxdb1", "victoriametrics"])
@pytest.mark.parametrize("what", _WRONG)
def test_an_answer_that_is_none_is_a_reason(server, kind, what):
    server.answer = (200, {}, _WRONG[what])
    reason = DatabaseObserver(_order(server, kind)).look(0)
    assert reason.startswith("is it what the URL says? its answer is another: ")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_names_the_variable_of_the_secret(server, status):
    server.answer = (status, {}, b"")
    reason = DatabaseObserver(_order(server)).look(0)
    assert reason.startswith(f"HTTP {status} ")
    assert reason.endswith("; is EGIZ_SIM_DATABASE_SECRET right?")


def test_a_server_that_points_elsewhere_does_not_get_the_secret_sent_there(server):
    server.answer = (302, {"Location": f"{server.url}/elsewhere"}, b"")
    assert "HTTP 302" in DatabaseObserver(_order(server)).look(0)
    first, *others = [headers["Authorization"] for headers in server.headers]
    assert first == f"Basic {base64.b64encode(b'reader:hidden').decode()}"
    assert set(others) == {None}


@pytest.mark.parametrize("kind", ["influxdb1", "influxdb2", "victoriametrics"])
def test_no_proxy_of_the_environment_gets_a_question_or_the_secret(
    server, kind, http_proxy
):
    order = _order(server, kind) | {"org": "org", "bucket": "bucket"}
    DatabaseObserver(order).look(0)
    assert http_proxy == []
    assert kind == "influxdb2" or server.headers


def test_metrics_are_read_from_the_bridge_itself(server, http_proxy):
    server.answer = (200, {}, b"egiz_bridge_messages_received_total 7\n")
    assert asyncio.run(BridgeCounters(server.url).now())["received"] == 7
    assert http_proxy == []


@pytest.mark.parametrize("value", ["1.2.3", "1e999", "-", "e+"])
def test_metrics_that_are_no_numbers_are_named(server, value):
    text = f"egiz_bridge_messages_received_total {value}\n"
    server.answer = (200, {}, text.encode())
    with pytest.raises(MetricsError, match="its metrics cannot be read"):
        asyncio.run(BridgeCounters(server.url).now())


@pytest.fixture
def numbers(capsysbinary):
    """The numbers of what an observer has written: `numbers()`."""

    def read():
        written = capsysbinary.readouterr().out
        return [number for number, _ in RECORD.iter_unpack(written)]

    return read


@pytest.mark.parametrize("number", [-1, -2, -(10**30), 2**63, 10**30])
def test_a_message_with_any_seq_is_counted_as_unknown(numbers, number):
    Records().seen([number])
    sightings = Sightings(1)
    for each in numbers():
        sightings.see(each, 1.0)
    assert (sightings.unknown, sightings.count) == (1, 0)


def test_an_archive_that_is_locked_for_a_while_is_read_after_it(tmp_path, numbers):
    path = tmp_path / "archive.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE telemetry (facility, device_id, boot, seq)")
        rows = [("load", "b", _BOOT, seq) for seq in (0, 1, None, "x")]
        db.executemany("INSERT INTO telemetry VALUES (?, ?, ?, ?)", rows)
        db.commit()
        order = {"path": str(path), "facility": "load", "boot": _BOOT}
        observer = ArchiveObserver(order | {"devices": ["a", "b"]})
        db.execute("BEGIN EXCLUSIVE")
        assert observer.look() == "database is locked"
        db.rollback()
    assert observer.look() == ""
    assert numbers() == [1, 3]


def test_a_damaged_archive_is_a_reason(tmp_path):
    path = tmp_path / "archive.sqlite"
    path.write_bytes(b"x" * 10_000)
    order = {"path": str(path), "facility": "load", "boot": _BOOT, "devices": ["a"]}
    assert ArchiveObserver(order).look() == "file is not a database"
