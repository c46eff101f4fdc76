"""Line protocol to files, pipes and terminals: whole lines, no endless wait."""

import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.sinks import stream
from egiz_bridge.sinks.line_protocol import LineProtocolSink
from rig.publisher import Publisher
from rig.waiting import eventually


def _rows(begin, end, padding=""):
    message = Message("t", b"", 0)
    return [
        Row(message, f"telemetry,id=oven-{n:03} value={n}.5{padding} 17063526".encode())
        for n in range(begin, end)
    ]


def _text(rows):
    return b"".join(row.line + b"\n" for row in rows)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines"


@pytest.fixture
def sink(path):
    made = LineProtocolSink(path)
    yield made
    made.close()


@contextmanager
def _files_end_at(size):
    """As on a disk that has room for a file of so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room", [0, 1, 40, 3000])
def test_a_disk_that_gets_full_leaves_what_was_there_before(sink, path, room):
    sink.write(_rows(0, 10))
    whole = path.read_bytes()
    with (
        _files_end_at(len(whole) + room),
        pytest.raises(Unavailable, match="too large"),
    ):
        sink.write(_rows(10, 110))
    assert path.read_bytes() == whole
    sink.write(_rows(10, 110))
    assert path.read_bytes() == _text(_rows(0, 110))


@pytest.mark.parametrize("left", [b"t", b"whole 1 2\nhalf a line with", b"\nx"])
def test_half_a_line_at_the_end_of_the_file_costs_no_message(sink, path, left):
    path.write_bytes(left)
    sink.write(_rows(0, 2))
    sink.write(_rows(2, 4))
    assert path.read_bytes() == left + b"\n" + _text(_rows(0, 4))


def _is_refused(sink, match):
    """By the probe, as `check` asks, and by a write, as `run` does; at once."""
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=match):
        sink.probe()
    with pytest.raises(Unavailable, match=match):
        sink.write(_rows(0, 1))
    assert time.monotonic() - begun < 5


def test_a_pipe_without_a_reader_is_an_outage_until_there_is_one(sink, path):
    os.mkfifo(path)
    _is_refused(sink, "no process reads this pipe")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink.probe()
    sink.write(_rows(0, 3))
    sink.write(_rows(3, 5))
    assert os.read(reader, 65536) == _text(_rows(0, 5))
    os.close(reader)
    with pytest.raises(Unavailable, match="has ended"):
        sink.write(_rows(5, 6))
    _is_refused(sink, "no process reads this pipe")


def _has_reader(sink):
    try:
        sink.probe()
    except Unavailable:
        return False
    return True


def test_a_pipe_stays_open_between_batches(sink, path):
    os.mkfifo(path)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        eventually(lambda: _has_reader(sink))
        for n in range(5):
            sink.write(_rows(n, n + 1))
            time.sleep(0.1)
        sink.close()
        assert cat.stdout.read() == _text(_rows(0, 5))


@pytest.mark.parametrize("padding", ["", "1" * 9000])
def test_a_reader_that_stops_costs_time_and_no_half_lines(
    sink, path, monkeypatch, padding
):
    monkeypatch.setattr(stream, "WAIT_S", 0.5)
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    rows = _rows(0, 4000 if not padding else 40, padding)
    with pytest.raises(Unavailable, match="has read nothing for"):
        sink.write(rows)
    read = bytearray()

    def read_all():
        while select.select([reader], [], [], 2)[0] and (
            part := os.read(reader, 65536)
        ):
            read.extend(part)

    thread = threading.Thread(target=read_all)
    thread.start()
    sink.write(rows)
    sink.close()
    thread.join()
    os.close(reader)
    lines = bytes(read).splitlines(keepends=True)
    assert set(lines) == {row.line + b"\n" for row in rows}
    assert bytes(read).endswith(_text(rows))


def test_a_pipe_that_is_replaced_by_a_file_is_left(sink, path):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink.write(_rows(0, 1))
    path.unlink()
    sink.write(_rows(1, 2))
    assert os.read(reader, 65536) == _text(_rows(0, 1))
    assert path.read_bytes() == _text(_rows(1, 2))
    os.close(reader)


def test_a_terminal_and_the_null_device_are_written_to():
    controller, terminal = pty.openpty()
    for device in (os.ttyname(terminal), "/dev/null"):
        sink = LineProtocolSink(Path(device))
        sink.probe()
        sink.write(_rows(0, 2))
        sink.write(_rows(2, 3))
        sink.close()
    written = bytearray()  # a terminal hands it over in its own time

    def all_of_it():
        written.extend(os.read(controller, 65536))
        return written.replace(b"\r\n", b"\n") == _text(_rows(0, 3))

    os.set_blocking(controller, False)
    eventually(all_of_it)  # BlockingIOError is "not yet"
    os.close(controller)
    os.close(terminal)


def test_what_is_neither_a_file_nor_a_pipe_is_refused(sink, path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        _is_refused(sink, "is neither a file nor a pipe")


_WRITES = """
import sys
from pathlib import Path
from egiz_bridge.batch import Message, Row
from egiz_bridge.sinks.line_protocol import LineProtocolSink
sink = LineProtocolSink(Path(sys.argv[1]))
sink.probe()
for n in range(3):
    sink.write([Row(Message("t", b"", 0), b"line %d" % n)])
"""
_WRITTEN = b"line 0\nline 1\nline 2\n"


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
def test_stdout_may_be_a_pipe_or_a_file(tmp_path, path):
    command = [sys.executable, "-c", _WRITES, path]
    assert (
        subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == _WRITTEN
    )
    file = tmp_path / "stdout"
    file.write_bytes(b"half a line")
    with file.open("ab") as stdout:
        subprocess.run(command, stdout=stdout, check=True)
    assert file.read_bytes() == b"half a line\n" + _WRITTEN


def test_check_and_run_agree_on_a_pipe(mosquitto, bridge, launch, path):
    os.mkfifo(path)
    running = bridge(mosquitto.url, line_protocol={"path": str(path)})
    check = launch("egiz-bridge", "check", "--config", str(running.config))
    assert check.wait() == 1
    assert "no process reads this pipe" in check.output()
    running.start()
    with Publisher(mosquitto) as publisher:
        for n in range(5):
            publisher.publish("sensors/north/oven-001/telemetry", _TELEMETRY % n)
    eventually(lambda: running.metrics()["sink_spooled/line_protocol"] == 5)
    assert "no process reads this pipe" in running.get("/readyz")[1]
    with path.open("rb") as reader:
        for n in range(5):
            assert b"thermal_setpoint=1.5 %d000" % (1706352600 + n) in reader.readline()
        eventually(lambda: running.metrics()["sink_written_total/line_protocol"] == 5)
        eventually(lambda: running.get("/readyz")[0] == 200)


_TELEMETRY = (
    b'{"device_id":"oven-001","timestamp":17063526%02d,"thermal":{"setpoint":1.5}}'
)
