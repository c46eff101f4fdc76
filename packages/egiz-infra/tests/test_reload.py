"""The broker survives its operators: reloads while sessions are away.

At each reload, Mosquitto 2.0 enters a session that is away a second time in its list
of sessions that expire; when the session ends, it uses freed memory. It aborts in some
runs only: so valgrind looks, which sees each use.
"""

import itertools
import time

import paho.mqtt.client as paho
import pytest
from egiz_bridge.mqtt.broker import Broker
from egiz_bridge.mqtt.connection import open_connection
from egiz_infra.accounts import set_password
from egiz_infra.apply import apply
from egiz_infra.errors import Refused
from egiz_infra.probe import NOT_AUTHORISED, Probe
from egiz_infra.revoke import revoke
from egiz_infra.running import Running
from paho.mqtt.enums import CallbackAPIVersion
from rig.process import require
from rig.secure import SecureMosquitto
from rig.servers import REPOSITORY

ROUNDS = 50
_VALGRIND_LOG = "valgrind.log"
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


class Operated:
    """A broker, and the operator who changes what it knows."""

    def __init__(self, broker):
        self.broker = broker
        self.names = (f"oven-{number:03d}" for number in itertools.count())
        self.start()

    def start(self):
        self.broker.start()
        # It listens before it handles signals; when it answers, it does both.
        Probe(self.broker.account("health")).close()
        self.pid = self.broker.pid

    @property
    def running(self):
        broker = self.broker
        reload = f"kill -HUP {broker.pid}"
        services = (broker.host, broker.port)
        devices = (broker.host, broker.device_port)
        tls12 = (broker.host, broker.tls12_port)
        return Running(broker.layout, reload, services, devices, "", tls12)

    def apply(self, times=2):
        for _ in range(times):
            apply(self.broker.authority, self.running)

    def device_that_is_away(self):
        """Its name and login; its session is kept."""
        name = next(self.names)
        login = self.broker.device(name)
        self.apply(times=1)
        self._connect(login, name)
        self.apply()
        return name, login

    def returns(self):
        name, login = self.device_that_is_away()
        self._connect(login, name)

    def begins_again(self):
        _, login = self.device_that_is_away()
        Probe(login).close()

    def is_revoked(self):
        name, login = self.device_that_is_away()
        revoke(self.broker.authority, self.running, name, lambda _: None)
        with pytest.raises(Refused):
            Probe(login)

    def bridge_has_another_password(self):
        self._connect_bridge()
        set_password(self.broker.layout, "bridge")
        self.apply()
        assert self._connect_bridge()  # its session is still there

    def bridge_is_away_while_the_broker_restarts(self):
        self._connect_bridge()
        self.broker.stop()
        self.start()
        self.apply()
        assert self._connect_bridge()

    def _connect_bridge(self):
        """Connect as egiz-bridge does; gives whether its session was there."""
        login = self.broker.account("bridge")
        account = (login.username, login.password)
        broker = Broker(login.host, login.port, "bridge", credentials=account)
        connection, _ = open_connection(broker)
        connection.disconnect()
        return connection.session_present

    def _connect(self, login, name):
        """As the firmware does: MQTT 3.1.1, a session that is kept, a last will."""
        client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        client.tls_set_context(login.tls)
        client.will_set(f"sensors/factory/{name}/status", b"{}", 1, retain=True)
        client.connect(login.host, login.port)
        until = time.monotonic() + 20
        while not client.is_connected() and time.monotonic() < until:
            client.loop(0.1)
        assert client.is_connected()
        client.disconnect()
        client.loop(0.1)

    def check(self):
        """It is the same process, and what was freed is used by others."""
        for _ in range(4):
            with Probe(self.broker.account("health")) as probe:
                assert probe.publish("health/broker") != NOT_AUTHORISED
        assert self.broker.pid == self.pid


ENDS = (
    Operated.returns,
    Operated.begins_again,
    Operated.is_revoked,
    Operated.bridge_has_another_password,
    Operated.bridge_is_away_while_the_broker_restarts,
)


class Checked(SecureMosquitto):
    """Run by valgrind."""

    def _command(self):
        valgrind = require("valgrind", "apt install valgrind")
        # %p: it is started again in one of the ways.
        log = f"--log-file={self.directory}/{_VALGRIND_LOG}.%p"
        return [valgrind, log, *super()._command()]


@pytest.fixture
def checked(tmp_path):
    """Mosquitto as in production, run by valgrind."""
    broker = Checked(tmp_path / "broker")
    yield broker
    broker.kill()


def test_no_end_of_a_session_after_a_reload_makes_the_broker_use_freed_memory(
    checked, monkeypatch
):
    # Valgrind makes a handshake twenty times as long.
    monkeypatch.setattr("egiz_infra.probe._TIMEOUT_S", 60.0)
    operated = Operated(checked)
    for end in ENDS:
        end(operated)
        operated.check()
    checked.stop()
    logs = checked.directory.glob(f"{_VALGRIND_LOG}.*")
    reports = [path.read_text() for path in logs]
    assert len(reports) == 2
    for report in reports:
        assert "ERROR SUMMARY: 0 errors" in report, report


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifty_rounds_of_reloads_while_sessions_are_away_do_not_end_the_broker(
    secure_mosquitto,
):
    operated = Operated(secure_mosquitto)
    for end in itertools.islice(itertools.cycle(ENDS), ROUNDS):
        end(operated)
        operated.check()
        time.sleep(2)  # it looks once a second for sessions that have expired


def test_no_file_that_is_shipped_makes_the_broker_end_sessions_by_itself():
    for path in (REPOSITORY / "infra").rglob("*.conf"):
        options = [line.split()[:1] for line in path.read_text().splitlines()]
        assert ["persistent_client_expiration"] not in options, path
