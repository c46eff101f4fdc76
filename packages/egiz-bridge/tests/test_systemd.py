"""What a service manager hears: ready when it is true, alive while it gets on."""

import contextlib
import signal
import socket
import time

import pytest
from egiz_bridge.ledger.counts import Accounts
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.observe.health import Parts
from rig.scripted_http import Answer
from rig.waiting import eventually


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told += self._socket.recv(4096).decode().split("\n")
        return self.told

    def close(self):
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch, mosquitto):
    del mosquitto  # started before: it would tell the manager that it is ready, too
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


def test_ready_is_told_when_it_is_subscribed_and_a_sink_has_answered(
    manager, mosquitto, bridge, scripted_http
):
    scripted_http.answer = lambda _: Answer(503)
    table = {"url": scripted_http.url, "bucket": "b"}
    running = bridge(mosquitto.url, influxdb=table)
    running.start(wait=False)
    eventually(lambda: any("influxdb: HTTP 503" in told for told in manager.heard()))
    assert "READY=1" not in manager.heard()
    # It is alive all the same: it tries again and again.
    alive = manager.heard().count("WATCHDOG=1")
    eventually(lambda: manager.heard().count("WATCHDOG=1") > alive + 2)
    scripted_http.answer = lambda _: Answer()
    eventually(lambda: "READY=1" in manager.heard(), timeout=40)
    eventually(lambda: "STATUS=all is well" in manager.heard())
    running.process.signal(signal.SIGHUP)
    eventually(lambda: "RELOADING=1" in manager.heard())
    eventually(lambda: manager.heard().count("READY=1") == 2)
    assert running.stop() == 0
    assert "STOPPING=1" in manager.heard()


def test_no_sign_of_life_while_a_part_is_stuck(manager, mosquitto, bridge):
    """A process that is stopped is the worst of stuck parts."""
    running = bridge(mosquitto.url, archive={})
    running.start()
    eventually(lambda: "WATCHDOG=1" in manager.heard())
    running.process.signal(signal.SIGSTOP)
    time.sleep(0.5)
    alive = manager.heard().count("WATCHDOG=1")
    time.sleep(1)
    assert manager.heard().count("WATCHDOG=1") == alive
    running.process.signal(signal.SIGCONT)
    eventually(lambda: manager.heard().count("WATCHDOG=1") > alive)


class _Session:
    def __init__(self, **stuck_for_s):
        self._stuck_for_s = stuck_for_s

    def stuck_for_s(self):
        return self._stuck_for_s


@pytest.mark.parametrize(
    ("stuck_for_s", "told"),
    [
        ({"main loop": 1.0, "writer-influxdb": 12.0}, []),
        (
            {"main loop": 1.0, "writer-influxdb": 99.0},
            ["writer-influxdb: stuck for 99 s"],
        ),
        ({"main loop": 45.0}, ["main loop: stuck for 45 s"]),
    ],
)
def test_whichever_part_is_stuck_is_named(stuck_for_s, told):
    parts = Parts(Accounts(), Devices(), None, _Session(**stuck_for_s))
    assert parts.ill() == told
