"""Mutual TLS 1.2 between the interpreter and the real broker, with DER files."""

import shutil
import socket
import ssl
import threading
import time
from pathlib import Path

import egiz_edge_tools.virtual_board as board_module
import pytest
import trustme
from egiz_edge_tools.broker import Broker
from egiz_edge_tools.bundle import stage
from egiz_schema import Command, Topic, encode
from rig.device import DEVICE, Device
from rig.live import LiveSubscriber
from rig.root_name import know_localhost_with_root
from rig.tls import AUTHORITY, TlsBroker, der_files
from rig.umqtt import with_context
from rig.waiting import eventually

ANOTHER = trustme.CA()


@pytest.fixture
def broker(tmp_path):
    made = TlsBroker(tmp_path / "broker")
    made.start()
    yield made
    made.kill()


def _put(file, content):
    file.unlink() if content is None else file.write_bytes(content)


@pytest.fixture
def device(micropython, tmp_path, hardware, broker):
    del micropython
    (tmp_path / "flash").mkdir()
    made = []

    def make(
        ca, issuer, port=broker.tls_port, damaged=None, host="localhost", **identity
    ):
        files = der_files(tmp_path, DEVICE, ca, issuer)
        for name, content in (damaged or {}).items():
            _put(Path(files[name]), content)
        address = (host, port)
        one = Device(address, tmp_path / "flash", hardware, tls=files, **identity)
        made.append(one)
        return made[-1]

    yield make
    for one in made:
        if one.is_running():
            one.kill()


def test_a_device_publishes_over_mutual_tls_on_the_heap_of_the_board(device, broker):
    live = LiveSubscriber(broker.host, broker.port)
    running = device(AUTHORITY, AUTHORITY)
    eventually(lambda: live.messages(DEVICE, "telemetry")[3:], timeout=30)
    broker.stop()
    broker.start()
    started_s = time.time()
    eventually(lambda: live.is_fresh(DEVICE, started_s), timeout=30)
    totals = running.stop()
    live.until_offline(DEVICE)
    assert totals["unacked"] == 0
    sequences = {m.seq for m in live.messages(DEVICE, "telemetry")}
    assert sequences == set(range(max(sequences) + 1))
    live.close()


def test_the_name_of_the_broker_may_be_written_with_the_root(device, broker):
    live = LiveSubscriber(broker.host, broker.port)
    device(AUTHORITY, AUTHORITY, host="localhost.")
    eventually(lambda: live.messages(DEVICE, "telemetry"), timeout=30)
    live.close()


@pytest.mark.parametrize("host", ["localhost", "localhost."])
def test_the_doctor_looks_for_the_name_without_the_root(broker, monkeypatch, host):
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    AUTHORITY.issue_cert("doctor").configure_cert(context)
    know_localhost_with_root(monkeypatch)
    Broker(host, broker.tls_port).probe(context)


@pytest.mark.parametrize(
    ("ca", "issuer", "reason"),
    [
        (
            ANOTHER,
            AUTHORITY,
            "not correctly signed by the trusted CA",
        ),  # the broker's certificate
        (AUTHORITY, ANOTHER, "no broker"),  # the device's certificate
    ],
)
def test_a_certificate_of_another_authority_is_refused_by_both_sides(
    device, broker, ca, issuer, reason
):
    live = LiveSubscriber(broker.host, broker.port)
    running = device(ca, issuer)
    eventually(lambda: len([line for line in running.output if reason in line]) >= 2)
    assert not any("task failed" in line for line in running.output), running.output
    assert live.messages(DEVICE, "status") == []
    live.close()


def test_a_damaged_file_is_named_and_the_device_measures_on(device):
    running = device(AUTHORITY, AUTHORITY, damaged={"cert": b"\0" * 500})
    said = "no broker (settings.json: tls: cert or key cannot be used: invalid cert)"
    eventually(lambda: sum(said in line for line in running.output) >= 2)
    assert not any("task failed" in line for line in running.output), running.output
    eventually(lambda: running.newest_segment() >= 1)  # what it measures is kept


@pytest.fixture
def in_safe_mode(device, tmp_path, umqtt, monkeypatch):
    """A factory of devices that have crashed five times."""

    def staged(directory, *_):
        stage(directory)
        shutil.copytree(umqtt / "umqtt", directory / "umqtt")
        with_context(directory)

    def make(*args, **more):
        data = tmp_path / "flash" / "data"
        data.mkdir()
        (data / "boots").write_text("5 crash: test")
        return device(*args, **more)

    monkeypatch.setattr(board_module, "stage", staged)
    return make


def test_safe_mode_reports_and_obeys_over_mutual_tls(in_safe_mode, broker):
    live = LiveSubscriber(broker.host, broker.port)
    in_safe_mode(AUTHORITY, AUTHORITY)
    (status,) = eventually(
        lambda: [m for m in live.messages(DEVICE, "status") if m.state == "safe_mode"]
    )
    assert status.reset_cause == "crash: test"
    for command_id, result in (("c1", "refused"), ("c2", "done")):
        action = "reboot" if result == "done" else "identify"
        command = Command(device_id=DEVICE, id=command_id, action=action)
        live.publish(Topic("factory", DEVICE, "command"), encode(command))
        eventually(
            lambda expected=(command_id, result): any(
                (m.last_command.id, m.last_command.result) == expected
                for m in live.messages(DEVICE, "status")
                if m.last_command
            )
        )
    eventually(lambda: live.messages(DEVICE, "telemetry"))  # the app, over TLS as well
    live.close()


def test_safe_mode_with_tls_sends_nothing_in_clear(in_safe_mode):
    received = []
    with socket.create_server(("localhost", 0)) as server:

        def accept():
            connection, _ = server.accept()
            received.append(connection.recv(1000))
            connection.close()

        listener = threading.Thread(target=accept)
        listener.start()
        in_safe_mode(
            AUTHORITY,
            AUTHORITY,
            port=server.getsockname()[1],
            user="user-in-clear",
            password="secret-in-clear",
        )
        listener.join(30)
    (first,) = received
    assert first[:2] == b"\x16\x03"  # a handshake of TLS
    assert b"in-clear" not in first
    assert DEVICE.encode() not in first


def _fails_in_safe_mode(running, reason, times=1):
    """Wait for its console to have given the reason so often; gives the lines."""

    def lines():
        return [line for line in running.output if line.startswith("safe mode: ")]

    eventually(lambda: len(lines()) > times, timeout=30)
    first, *others = lines()
    assert first == "safe mode: crash: test"  # once: there was no reset
    assert all(reason in line for line in others), others
    return others


DAMAGED = [
    ("ca", b"\xff" * 500, "tls: ca cannot be used: invalid cert"),
    ("ca", b"", "tls: ca cannot be used: invalid cert"),
    ("ca", None, "tls: ca cannot be used: [Errno 2] ENOENT"),
    ("cert", b"\0" * 500, "tls: cert or key cannot be used: invalid cert"),
    ("key", b"\xff" * 121, "tls: cert or key cannot be used: invalid key"),
    ("key", b"", "tls: cert or key cannot be used: invalid key"),
]


@pytest.mark.parametrize(("name", "content", "reason"), DAMAGED)
def test_safe_mode_with_a_damaged_file_says_which_kind_and_connects_not_at_all(
    in_safe_mode, name, content, reason
):
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(0.1)
        address = {"port": server.getsockname()[1], "user": "u", "password": "p"}
        running = in_safe_mode(AUTHORITY, AUTHORITY, damaged={name: content}, **address)
        _fails_in_safe_mode(running, reason)
        with pytest.raises(TimeoutError):
            server.accept()


def test_safe_mode_with_another_authority_keeps_trying_each_five_seconds_in_one_boot(
    in_safe_mode, broker
):
    live = LiveSubscriber(broker.host, broker.port)
    running = in_safe_mode(ANOTHER, AUTHORITY)
    begun = time.monotonic()
    others = _fails_in_safe_mode(running, "not correctly signed by the trusted CA", 3)
    assert time.monotonic() - begun >= 2 * 5
    assert len(others) == 3
    assert live.messages(DEVICE, "status") == []
    assert running.sockets() == 0  # each that failed was closed
    live.close()
