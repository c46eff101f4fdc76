"""Several addresses of the broker, none of which answers: that is no standstill."""

import contextlib
import itertools
import socket
import threading

import pytest
from egiz_bridge.config import settings
from egiz_bridge.errors import MqttError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt import connection
from egiz_bridge.mqtt.broker import Broker
from egiz_bridge.mqtt.waits import Waker
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.session import Session
from egiz_bridge.session_record import SessionRecord
from egiz_bridge.spool import Spool

MIB = 1024**2
TIMEOUT_S = 1.0
CONNACK, SUBACK = b"\x20\x03\0\0\0", b"\x90\x04\0\x01\0\x01"


@pytest.fixture
def silent():
    """`silent(n)`: brokers that accept, and say nothing."""
    with contextlib.ExitStack() as stack:

        def begin(count):
            return [
                stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                for _ in range(count)
            ]

        yield begin


def _session(loaded, spool):
    ledger, waker = Ledger(), Waker()
    dispatcher = Dispatcher(spool, ledger, waker)
    intake = Intake(ledger, Devices(), dispatcher.offer)
    record = SessionRecord(spool.notes, ledger)
    return Session(loaded, intake, dispatcher, ledger, waker, record)


@pytest.fixture
def session(tmp_path, monkeypatch):
    """`session(servers)`: one of a bridge, which runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", TIMEOUT_S)
    pair = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: pair)
    with pair[0], pair[1], contextlib.ExitStack() as stack:

        def begin(servers):
            urls = [f"mqtt://127.0.0.1:{one.getsockname()[1]}" for one in servers]
            config = tmp_path / "bridge.toml"
            config.write_text(f'[mqtt]\nurl = "{", ".join(urls)}"\n')
            spool = stack.enter_context(contextlib.closing(Spool(tmp_path / "s", MIB)))
            made = _session(settings.load(config), spool)
            thread = threading.Thread(target=made.run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(made.stop)
            return made

        yield begin


def test_the_main_loop_is_not_stuck_while_it_tries_each_of_them(session, silent):
    """Each is tried with MQTT 5, then with 3.1.1, and there is no pause between."""
    servers = silent(4)
    running = session(servers)
    servers[-1].settimeout(0.02)
    longest_s, tries = 0.0, 0
    while tries < 2:
        with contextlib.suppress(TimeoutError):
            servers[-1].accept()[0].close()
            tries += 1
        longest_s = max(longest_s, running.busy_seconds()["main loop"])
    assert longest_s < 2 * TIMEOUT_S


def _names(monkeypatch, ports):
    """One name that has several addresses."""
    real = socket.getaddrinfo
    found = [real("127.0.0.1", port, type=socket.SOCK_STREAM)[0] for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def _closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_each_address_of_a_name_is_tried_and_the_session_is_asked_between(
    silent, monkeypatch
):
    (server,) = silent(1)
    _names(monkeypatch, [*(_closed_port() for _ in range(3)), server.getsockname()[1]])

    def serve():
        with server.accept()[0] as client:
            for answer in (CONNACK, SUBACK):
                client.recv(4096)
                client.sendall(answer)
            client.recv(4096)

    thread = threading.Thread(target=serve)
    thread.start()
    asked = itertools.count()
    made, _ = connection.open_connection(
        Broker("many", 1, "c"), lambda: next(asked) > 99
    )
    made.close()
    thread.join()
    assert next(asked) >= 3


def test_a_stop_does_not_wait_for_all_addresses_of_a_name(monkeypatch):
    _names(monkeypatch, [_closed_port() for _ in range(4)])
    asked = itertools.count()
    with pytest.raises(MqttError, match="stopped"):
        connection.open_connection(Broker("many", 1, "c"), lambda: next(asked) >= 1)
    assert next(asked) <= 3


def test_an_address_that_refuses_is_what_the_last_one_says(monkeypatch):
    _names(monkeypatch, [_closed_port() for _ in range(2)])
    with pytest.raises(ConnectionRefusedError):
        connection.open_connection(Broker("many", 1, "c"))
