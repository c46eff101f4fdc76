"""An answer of a database has a bound in bytes and in time, whatever it sends."""

import socket
import ssl
import threading
import time
import tracemalloc
from contextlib import suppress

import pytest
from egiz_bridge.errors import Unavailable
from egiz_bridge.observe import health
from egiz_bridge.sinks import exchange
from egiz_bridge.sinks.exchange import ANSWER_MAX_BYTES, Exchange

GIGABYTE = 1024**3
MEMORY_MAX = 4 * 1024**2  # what reading an answer may use, at its peak


class Server:
    """Accepts connections, and gives each to `serve(connection)` after its request."""

    def __init__(self, serve):
        self._serve = serve
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/write"

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection):
        with connection, connection.makefile("rb") as requests:
            try:
                while _request(requests):
                    self._serve(connection)
            except OSError:  # the client has gone
                pass

    def close(self):
        self._socket.close()


def _request(stream):
    """Read a request; whether there was one."""
    line, length = stream.readline(), 0
    while line.strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        line = stream.readline()
        if not line.strip():
            stream.read(length)
            return True
    return False


@pytest.fixture
def serve():
    """`serve(function)`: a server; what it sends is up to the function."""
    made = []

    def start(function):
        made.append(Server(function))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_S", 2.0)
    made = Exchange(ssl.create_default_context())
    yield made
    made.close()


def _huge_body(connection):
    connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
    while True:
        connection.sendall(b"x" * 65536)


def _endless_chunks(connection):
    connection.sendall(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def _until_it_closes(connection):
    connection.sendall(b"HTTP/1.0 400 Bad\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def _compressed(connection):
    """What would be a gigabyte, if it were uncompressed."""
    body = b"\x1f\x8b\x08" + b"\0" * 900_000
    head = b"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)


@pytest.mark.parametrize(
    "sends", [_huge_body, _endless_chunks, _until_it_closes, _compressed]
)
def test_an_answer_of_any_size_uses_little_memory(serve, client, sends):
    server = serve(sends)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        begun = time.monotonic()
        answer = client.post(server.url, b"x", {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status == 400
    assert len(answer.text) <= ANSWER_MAX_BYTES
    assert peak - before < MEMORY_MAX
    assert time.monotonic() - begun < 2
    # The rest is not read: the connection is not used again.
    client.post(server.url, b"x", {})
    assert server.connections == 2


def _drips(head):
    def serve(connection):
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.2)

    return serve


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 ",
        b"HTTP/1.1 400 Bad\r\nX-Slow: ",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
        b"HTTP/1.0 400 Bad\r\n\r\n",
    ],
)
def test_an_answer_that_comes_byte_by_byte_is_an_outage_in_time(serve, client, head):
    server = serve(_drips(head))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        client.post(server.url, b"x", {})
    assert 1.5 < time.monotonic() - begun < 5


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"199 ?"])
def test_interim_answers_without_end_have_the_same_bound(serve, client, status):
    def serve_interim(connection):
        while True:
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nX: y\r\n\r\n")
            time.sleep(0.05)

    server = serve(serve_interim)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        client.post(server.url, b"x", {})
    assert time.monotonic() - begun < 5


def test_a_head_without_end_is_an_outage(serve, client):
    def serve_head(connection):
        connection.sendall(b"HTTP/1.1 400 Bad\r\n")
        while True:
            connection.sendall(b"X-Header: " + b"x" * 1000 + b"\r\n")

    server = serve(serve_head)
    with pytest.raises(Unavailable):
        client.post(server.url, b"x", {})


@pytest.mark.parametrize("sends", [b"", b"no HTTP at all\r\n\r\n", b"\0" * 9000])
def test_what_is_no_answer_is_an_outage(serve, client, sends):
    def serve_nonsense(connection):
        connection.sendall(sends)
        connection.shutdown(socket.SHUT_WR)
        raise ConnectionError

    with pytest.raises(Unavailable):
        client.post(serve(serve_nonsense).url, b"x", {})


def test_a_connection_is_used_again_with_its_whole_time(serve, client):
    slow = iter([1.6, 0.0, 1.6])

    def serve_slowly(connection):
        time.sleep(next(slow))
        text = b'{"error":"x"}'
        head = b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(text)
        connection.sendall(head + text)

    server = serve(serve_slowly)
    for _ in range(3):
        assert client.post(server.url, b"x", {}).text == '{"error":"x"}'
    assert server.connections == 1


_REFUSED = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
_STORED = b"HTTP/1.1 204 No Content\r\n\r\n"
_EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        _EARLY_HINTS,
        _EARLY_HINTS * 3,
        b"HTTP/1.1 104 Upload Resumption Supported\r\nX: y\r\n\r\n",
        b"HTTP/1.1 199 ?\r\n\r\n",
    ],
)
def test_an_interim_answer_is_not_the_answer(serve, client, interim):
    answers = iter([_STORED, _REFUSED, _STORED])

    def serve_interim_first(connection):
        connection.sendall(interim)
        time.sleep(0.3)
        connection.sendall(next(answers))

    server = serve(serve_interim_first)
    statuses = [client.post(server.url, b"x", {}).status for _ in range(3)]
    assert statuses == [204, 503, 204]
    assert server.connections == 1


@pytest.mark.parametrize(
    "extra",
    [
        _STORED,
        b"a body that 204 has not",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_what_is_sent_beside_an_answer_is_not_that_of_the_next_request(
    serve, client, extra, is_first, pause_s
):
    requests, all_is_sent = iter(range(9)), threading.Event()

    def serve_too_much(connection):
        if next(requests):
            connection.sendall(_REFUSED)
            return
        for part in [extra, _STORED] if is_first else [_STORED, extra]:
            connection.sendall(part)
            time.sleep(pause_s)
        all_is_sent.set()

    server = serve(serve_too_much)
    with suppress(Unavailable):  # it may be no HTTP
        client.post(server.url, b"x", {})
    assert all_is_sent.wait(60)
    assert client.post(server.url, b"x", {}).status == 503


def test_an_answer_that_is_no_http_is_an_outage_in_plain_words(serve, client):
    def serve_negative_chunk(connection):
        head = b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"-5\r\nx\r\n")

    with pytest.raises(Unavailable):
        client.post(serve(serve_negative_chunk).url, b"x", {})


def test_no_request_lasts_until_a_part_counts_as_stuck():
    longest_s = exchange.CONNECT_S + exchange.SEND_S + exchange.ANSWER_S
    assert longest_s < health.STUCK_S
