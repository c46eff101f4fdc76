"""Commands that ask the bridge at http.listen: whatever answers there."""

import contextlib
import io
import resource
import socket
import threading

import pytest
from egiz_bridge.cli import devices, probe
from rich.console import Console

OTHERS = [
    '{"detail":"Not Found"}',
    "[]",
    '"x"',
    "",
    "\xff",
    '{"ok":true,"problems":5}',
    '{"problems":["\\ud800"]}',
    '{"devices":[{}],"started_ms":1}',
    '{"devices":5}',
    '{"devices":[],"started_ms":1e30}',
    '{"devices":[],"started_ms":999999999999999999}',
    f'{{"devices":[],"started_ms":{"9" * 5000}}}',
    "[" * 100_000,
]


def _config(tmp_path, port):
    path = tmp_path / "bridge.toml"
    path.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\n')
    return str(path)


@pytest.fixture
def answering():
    """`answering(status, body)` gives the port of a server that answers so."""
    with contextlib.ExitStack() as stack:

        def begin(status, body):
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        with server.accept()[0] as client:
                            client.recv(4096)
                            client.sendall(head.encode() + body)

            threading.Thread(target=serve, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return server.getsockname()[1]

        yield begin


@pytest.mark.parametrize("path", ["/readyz", "/devices"])
@pytest.mark.parametrize("body", OTHERS)
def test_another_service_is_not_taken_for_a_bridge(answering, path, body):
    port = answering(200, body.encode("latin-1"))
    kind = probe.Problems if path == "/readyz" else devices.Known
    with pytest.raises(ValueError, match="not a bridge's"):
        probe.fetch(f"http://127.0.0.1:{port}{path}", kind)


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_the_status_of_another_service_is_shown(answering, status):
    port = answering(status, b'{"ok":true,"problems":[]}')
    with pytest.raises(ValueError, match=f"HTTP {status}"):
        probe.fetch(f"http://127.0.0.1:{port}/readyz", probe.Problems)


@pytest.mark.parametrize("command", ["probe", "devices"])
def test_a_command_says_that_no_bridge_answers(launch, tmp_path, answering, command):
    port = answering(200, b"[]")
    words = [command, "--config", _config(tmp_path, port)]
    ended = launch("egiz-bridge", *words)
    assert ended.wait(20) == 1
    assert "http.listen: no bridge answers at http://127.0.0.1" in ended.output()
    assert "Traceback" not in ended.output()


def test_an_answer_without_an_end_is_read_to_a_bound(monkeypatch):
    def serve():
        with contextlib.suppress(OSError), server.accept()[0] as client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                client.sendall(b"x" * 1_000_000)

    monkeypatch.setattr(probe, "_BYTES_MAX", 3_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/readyz"
        with pytest.raises(ValueError, match="has no end"):
            probe.fetch(url, probe.Problems)


def test_a_table_of_10_000_devices_costs_less_than_a_second():
    counts = {
        "messages": 1_234_567,
        "missing": 3,
        "duplicates": 0,
        "late": 0,
        "buffered": 0,
        "reboots": 0,
        "dropped_readings": 0,
        "clock_skew_ms": -12,
    }
    shown = [
        {"facility": "hall", "device_id": f"oven-{n}", "states": ["stale", "losing"]}
        | counts
        | {"last_s_ago": 61.5}
        for n in range(10_000)
    ]
    output = io.StringIO()
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    devices.show(shown, Console(file=output, force_terminal=True, width=100))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 1
    heading, first, *_, last, _ = output.getvalue().splitlines()
    assert heading.split()[:4] == ["facility", "device", "id", "states"]
    assert first.split()[:4] == ["hall", "oven-0", "stale,", "losing"]
    assert len({len(first), len(last)}) == 1
    assert heading.index("messages") + len("messages") == first.index("1234567") + 7
