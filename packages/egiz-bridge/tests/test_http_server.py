"""Who connects to http.listen and says nothing, or reads nothing, delays no other."""

import contextlib
import errno
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from egiz_bridge.observe import server as module
from egiz_bridge.observe.http import App, HttpServer
from prometheus_client import CollectorRegistry
from rig.waiting import eventually

HELD = 80
OTHER_THREADS = 12  # of the bridge, at most: main loop, writers, probes, watchdog


@pytest.fixture
def connect():
    """`connect(port)`: a connection that is closed at the end."""
    made = []

    def connect(port):
        # Longer than the server's deadline, which is what is waited for.
        made.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def served():
    """A server with 16 MB at /devices."""
    devices = [{"id": "x" * 65536}] * 256
    server = HttpServer(
        "127.0.0.1", 0, App(CollectorRegistry(), {"/healthz": list}, lambda _: devices)
    )
    yield server
    server.close()


def _is_healthy(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as got:
        return got.status == 200


def _is_closed(connection):
    """Whether the other side ends it; what came before is read."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


def _threads_and_files(pid):
    process = Path("/proc", str(pid))
    return len([*process.glob("task/*")]), len([*process.glob("fd/*")])


def test_idle_connections_use_few_threads_and_files(mosquitto, bridge, connect):
    running = bridge(mosquitto.url, archive={})
    running.start()
    port = int(running.http.rpartition(":")[2])
    _, files_before = _threads_and_files(running.process.pid)
    held = [connect(port) for _ in range(HELD)]
    for _ in range(5):
        begun = time.monotonic()
        assert running.get("/readyz")[0] == 200
        assert time.monotonic() - begun < 4
    threads, files = _threads_and_files(running.process.pid)
    assert threads <= module.CONNECTIONS_MAX + OTHER_THREADS
    assert files <= files_before + module.CONNECTIONS_MAX + 2
    for connection in held:  # those that were not replaced have a deadline
        assert _is_closed(connection)
    eventually(lambda: _threads_and_files(running.process.pid)[0] <= OTHER_THREADS)
    assert running.stop() == 0


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
def test_who_sends_a_byte_now_and_then_has_a_deadline(
    served, connect, monkeypatch, sent
):
    monkeypatch.setattr(module, "DEADLINE_S", 1.0)
    connection = connect(served.port)
    begun = time.monotonic()
    connection.sendall(sent)
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - begun < 8:
            connection.sendall(b"G")
            time.sleep(0.2)
    assert time.monotonic() - begun < 6


def test_who_does_not_read_the_answer_has_a_deadline(served, connect, monkeypatch):
    monkeypatch.setattr(module, "DEADLINE_S", 1.0)
    before = threading.active_count()
    silent = [connect(served.port) for _ in range(module.CONNECTIONS_MAX)]
    for connection in silent:
        connection.sendall(b"GET /devices HTTP/1.0\r\n\r\n")
    eventually(lambda: threading.active_count() == before, timeout=15)
    assert _is_healthy(served.port)


def test_a_request_that_is_answered_is_not_displaced_by_idle_ones(connect):
    begun, may_end = threading.Event(), threading.Event()

    def slow():
        begun.set()
        may_end.wait(20)
        return []

    server = HttpServer("127.0.0.1", 0, App(CollectorRegistry(), {"/slow": slow}, list))
    slow_one = connect(server.port)
    slow_one.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
    assert begun.wait(10)
    for _ in range(2 * module.CONNECTIONS_MAX):
        connect(server.port)
    time.sleep(0.5)
    may_end.set()
    assert slow_one.recv(4096).startswith(b"HTTP/1.0 200")
    server.close()


def test_a_machine_without_file_descriptors_does_not_make_it_spin(served, monkeypatch):
    calls = []

    def no_files(_):
        calls.append(time.monotonic())
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "accept", no_files)
        connection = socket.create_connection(("127.0.0.1", served.port))
        eventually(lambda: calls)
        time.sleep(1.2)
        assert len(calls) <= 4
    connection.close()
    assert _is_healthy(served.port)


def test_a_machine_without_threads_closes_the_connection_and_goes_on(
    served, connect, monkeypatch
):
    def no_thread(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        for _ in range(3 * module.CONNECTIONS_MAX):
            assert _is_closed(connect(served.port))
    assert _is_healthy(served.port)
