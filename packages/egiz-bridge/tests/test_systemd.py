"""What a service manager hears: ready when it is true, alive while it gets on."""

import contextlib
import signal
import socket
import time

import pytest
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.observe import systemd
from egiz_bridge.observe.health import Parts
from rig.scripted_http import Answer
from rig.waiting import eventually
from structlog.testing import capture_logs


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.messages = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def received(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages += self._socket.recv(4096).decode().split("\n")
        return self.messages

    def close(self):
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch, mosquitto):
    del (
        mosquitto
    )  # started before: it would report to the manager that it is ready, too
    path = str(tmp_path / "notify")
    address, name = (
        (path, path) if request.param == "path" else ("\0" + path, "@" + path)
    )
    made = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield made
    made.close()


def test_ready_is_sent_when_it_is_subscribed_and_a_sink_has_answered(
    manager, mosquitto, bridge, scripted_http
):
    scripted_http.answer = lambda _: Answer(503)
    table = {"url": scripted_http.url, "bucket": "b"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start(wait=False)
    eventually(
        lambda: any("influxdb: HTTP 503" in message for message in manager.received())
    )
    running.process.signal(signal.SIGHUP)
    eventually(lambda: "event=reloaded" in running.log)
    assert "READY=1" not in manager.received()
    # It is alive all the same: it tries again and again.
    alive = manager.received().count("WATCHDOG=1")
    eventually(lambda: manager.received().count("WATCHDOG=1") > alive + 2)
    scripted_http.answer = lambda _: Answer()
    eventually(lambda: "READY=1" in manager.received(), timeout=40)
    eventually(lambda: "STATUS=all is well" in manager.received())
    running.process.signal(signal.SIGHUP)
    eventually(lambda: "RELOADING=1" in manager.received())
    eventually(lambda: manager.received().count("READY=1") == 2)
    assert running.stop() == 0
    assert "STOPPING=1" in manager.received()


def test_the_watchdog_is_not_fed_while_a_part_is_stuck(manager, mosquitto, bridge):
    """A process that is stopped is the worst of stuck parts."""
    running = bridge(mosquitto.url, archive={})
    running.start()
    eventually(lambda: "WATCHDOG=1" in manager.received())
    running.process.signal(signal.SIGSTOP)
    time.sleep(0.5)
    alive = manager.received().count("WATCHDOG=1")
    time.sleep(1)
    assert manager.received().count("WATCHDOG=1") == alive
    running.process.signal(signal.SIGCONT)
    eventually(lambda: manager.received().count("WATCHDOG=1") > alive)


def test_a_report_that_fails_is_logged_and_the_next_ones_follow(manager, monkeypatch):
    """The bridge works; without the watchdog, its service manager would end it."""
    monkeypatch.setattr(systemd, "_LOOK_EVERY_S", 0.02)
    fails = [True]

    def not_ready():
        if fails[0]:
            raise RuntimeError("dictionary changed size during iteration")
        return ["archive: no space"]

    with (
        capture_logs() as logged,
        systemd.supervised(systemd.Notifier(), list, list, not_ready),
    ):
        eventually(lambda: manager.received().count("WATCHDOG=1") > 1)
        assert "READY=1" in manager.received()
        fails.clear()
        fails.append(False)
        eventually(lambda: "STATUS=archive: no space" in manager.received())
    assert any("no report to the service manager" in e["event"] for e in logged)
    assert not any("exc_info" in e for e in logged)


def test_a_status_that_is_not_utf8_too_long_or_of_several_lines_is_one_line(manager):
    notifier = systemd.Notifier()
    notifier.status("archive: cannot open a\udcffb")
    notifier.status("nothing\nREADY=1")
    notifier.status("база данных " * 1000)
    *short, long = [one for one in manager.received() if one]
    assert short == [
        "STATUS=archive: cannot open a\\udcffb",
        "STATUS=nothing READY=1",
    ]
    assert len(long) < 1020
    assert long.endswith("...")


class _Session:
    def __init__(self, **busy_seconds):
        self._busy_seconds = busy_seconds

    def busy_seconds(self):
        return self._busy_seconds


@pytest.mark.parametrize(
    ("busy_seconds", "problems"),
    [
        ({"main loop": 1.0, "writer-influxdb": 12.0}, []),
        (
            {"main loop": 1.0, "writer-influxdb": 99.0},
            ["writer-influxdb: stuck for 99 s"],
        ),
        ({"main loop": 45.0}, ["main loop: stuck for 45 s"]),
    ],
)
def test_whichever_part_is_stuck_is_named(busy_seconds, problems):
    parts = Parts(Ledger(), Devices(), None, _Session(**busy_seconds), None)
    assert parts.liveness_problems() == problems
