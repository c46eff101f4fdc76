"""The first day, whole: from install.sh to a revoked device, with the real firmware.

What an operator does by the documentation, with the files and the listener that
install.sh made: nothing here is a stand-in but the hardware of the board.
"""

import itertools
import json
import shutil
import time

import pytest
from egiz_dashboards.__main__ import DIRECTORY
from egiz_edge_tools import virtual_board
from egiz_edge_tools.hardware import Network
from egiz_infra.errors import Refused
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from egiz_schema import Command, Config, Firmware, Topic, decode, encode
from rig.browser import Browser
from rig.clock import FakeClock
from rig.device import Device, full_hardware
from rig.machine import Machine
from rig.phone import ADDRESS, KEY, PIN, SSID, PortalBoard
from rig.process import require
from rig.rollouts import CRASHES, Rollouts
from rig.waiting import eventually

DEVICE, UPDATED = "oven-001", "oven-002"
GAP_MS = 30000  # between two measurements of a device that is updated
# Packages are built and installed before it begins.
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning"),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory, dist):
    """Installed and running; Prometheus looks each second, not each 15."""
    for program in ("mosquitto", "influxd", "prometheus", "prometheus-mqtt-exporter"):
        require(program, "sh .ci/servers")
    made = Machine(tmp_path_factory.mktemp("machine") / "root", dist)
    made.install(**made.addresses())
    settings = made.etc / "prometheus/prometheus.yml"
    settings.write_text(settings.read_text().replace("_interval: 15s", "_interval: 1s"))
    try:
        made.start()
        yield made
    finally:
        for unit in made.units.values():
            unit.kill()


@pytest.fixture
def clock(machine, tmp_path, monkeypatch):
    """The clock of the bridge: a test need not wait for minutes."""
    made = FakeClock(tmp_path / "clock")
    unit = machine.units["egiz-bridge"]
    unit.stop()
    with monkeypatch.context() as patch:
        for name, value in made.env.items():
            patch.setenv(name, value)
        unit.start()
    unit.process.wait_until(lambda: machine.get("BRIDGE", "/readyz")[0] == 200)
    return made


class Board:
    """A board with the files that were issued to it, on the port of all devices."""

    def __init__(self, machine, directory):
        issued = machine.etc / "issued" / DEVICE
        names = {"ca": "ca.der", "cert": "certificate.der", "key": "key.der"}
        self._tls = {key: str(issued / name) for key, name in names.items()}
        self._address = ("localhost", machine.ports["DEVICES"])
        self._directory = directory
        directory.mkdir()

    def switch_on(self):
        hardware = full_hardware()
        return Device(
            self._address, self._directory, hardware, device_id=DEVICE, tls=self._tls
        )


class Service:
    """An account of the broker that publishes, and keeps what it receives."""

    def __init__(self, machine, account, device_id=DEVICE):
        self._device_id = device_id
        secret = machine.secret(account)
        port = machine.ports["SERVICES"]
        self.probe = Probe(Login("127.0.0.1", port, account, secret))
        self.probe.subscribe("sensors/+/+/telemetry", "sensors/+/+/status")

    def send(self, kind, message):
        topic = str(Topic("factory", self._device_id, kind))
        is_config = kind == "config"
        assert (
            self.probe.publish(topic, encode(message), retain=is_config)
            != NOT_AUTHORISED
        )

    def wait_for_status(self, is_so):
        return eventually(lambda: self.probe.turn(0.1) and self._status(is_so))

    def _status(self, is_so):
        topic = str(Topic("factory", self._device_id, "status"))
        for found in self.probe.received:
            if found.topic == topic and found.payload:
                message = decode(found.topic, found.payload)
                if is_so(message):
                    return message
        return None


def _rows(machine, query):
    code, rows = machine.rows(machine.secret("influxdb-grafana"), query)
    assert code == 200
    return rows


def _panel(title):
    """The query of a panel of the dashboard *device*, as Grafana asks it."""
    panels = json.loads((DIRECTORY / "device.json").read_text())["panels"]
    (query,) = [p["targets"][0]["query"] for p in panels if p["title"] == title]
    for name, value in [
        ("$timeFilter", "time >= now() - 1h"),
        ("$__interval", "10s"),
        ("$facility", "factory"),
        ("$device_type", ".*"),
        ("$device_id", DEVICE),
    ]:
        query = query.replace(name, value)
    return query


def _alerts(machine):
    found = json.loads(machine.get("PROMETHEUS", "/api/v1/alerts")[1])["data"]
    return {
        (one["labels"]["alertname"], one["labels"].get("device_id"))
        for one in found["alerts"]
        if one["state"] == "firing"
    }


@pytest.fixture
def rollouts(tmp_path, monkeypatch):
    """Releases with brief waits, and the firmware of the boards of this test."""
    made = Rollouts(tmp_path / "rollouts")
    monkeypatch.setattr(virtual_board, "stage", made.install)
    return made


@pytest.fixture
def portal(machine, tmp_path, rollouts):
    """A board with certificate and keys that does not know the Wi-Fi of the hall."""
    machine.infra("issue", "device", UPDATED)
    machine.infra("apply")
    flash = tmp_path / "flash"
    rollouts.provision(flash)
    settings = {
        "facility": "factory",
        "device_id": UPDATED,
        "broker": "localhost",
        "port": machine.ports["DEVICES"],
        "tls": {name: f"/{name}.der" for name in ("ca", "cert", "key")},
        "wifi_ssid": "Office",
        "sampling_rate_ms": 200,
        "publish_rate_ms": 1000,
    }
    issued = machine.etc / "issued" / UPDATED
    for name, of in (("ca", "ca"), ("cert", "certificate"), ("key", "key")):
        shutil.copy(issued / f"{of}.der", flash / f"{name}.der")
    (flash / "settings.json").write_text(json.dumps(settings))
    hardware = full_hardware()
    hardware.networks = {"Hall": Network("a password")}
    made = PortalBoard(flash, hardware)
    yield made
    made.close()


def _enter_wifi(portal, directory):
    """As a person with a phone does, in its network; it is Chromium."""
    eventually(lambda: portal.board.access_point == SSID)
    browser = Browser(directory, portal.board.join_ap(KEY)[0])
    try:
        eventually(lambda: portal.phone().get("/state"))
        browser.open(f"http://{ADDRESS}/")
        browser.send(network="Hall", key="a password", pin=PIN)
        eventually(lambda: browser.has("Done."))
    finally:
        browser.close()
    portal.board.leave_ap()


def _wanted(server, version):
    return Firmware(version=version, url=server.directory)


def _ota(state, version):
    return lambda m: m.ota and (m.ota.state, m.ota.version) == (state, version)


def test_a_device_from_its_portal_to_a_release_that_crashes(
    machine, portal, tmp_path, rollouts, serve_release
):
    fleet = Service(machine, "fleet", UPDATED)
    # A phone brings it into the Wi-Fi.
    _enter_wifi(portal, tmp_path / "browser")
    born = fleet.wait_for_status(lambda status: status.state == "online")
    assert born.reset_cause == "reboot: portal"

    # A retained configuration brings the next release.
    wanted = _wanted(serve_release(rollouts.release()), "0.2.0")
    fleet.send("config", Config(device_id=UPDATED, rev=1, firmware=wanted))
    done = fleet.wait_for_status(_ota("done", "0.2.0"))
    assert (done.firmware_version, done.config.rev) == ("0.2.0", 1)

    # The one after it crashes: the device is back, and says why.
    crashing = {"egiz_edge/uplink.py": CRASHES}
    bad = serve_release(rollouts.release("0.3.0", replaced=crashing))
    wanted = _wanted(bad, "0.3.0")
    fleet.send("config", Config(device_id=UPDATED, rev=2, firmware=wanted))
    back = fleet.wait_for_status(_ota("rolled_back", "0.3.0"))
    assert back.ota.error == "crash: ValueError('broken release',)"
    assert (back.firmware_version, back.config.rev) == ("0.2.0", 2)

    # In the database, it has measured all the time but for the reboots.
    query = f"SELECT * FROM telemetry WHERE device_id = '{UPDATED}'"
    stored = len(_rows(machine, query))
    eventually(lambda: len(_rows(machine, query)) > stored + 3)
    times = [row[0] for row in _rows(machine, query)]
    gaps_ms = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps_ms) <= GAP_MS, sorted(gaps_ms)[-3:]
    assert not [line for line in portal.output if "failed, restarting" in line]
    fleet.probe.close()


def test_from_install_sh_to_a_revoked_device(machine, clock, tmp_path):
    machine.infra("issue", "device", DEVICE)
    machine.infra("apply")
    board = Board(machine, tmp_path / "flash")
    fleet = Service(machine, "fleet")
    running = board.switch_on()
    try:
        fleet.wait_for_status(lambda status: status.state == "online")

        # Its points are in the database, and in a panel.
        mine = f"SELECT * FROM telemetry WHERE device_id = '{DEVICE}'"
        eventually(lambda: len(_rows(machine, mine)) >= 3)
        # Of the last three, as a meter on a busy machine may reply too late.
        voltages = eventually(
            lambda: [r for r in _rows(machine, _panel("Voltage"))[-3:] if None not in r]
        )
        assert {round(value, 1) for value in voltages[-1][1:]} == {225.7, 229.9, 230.1}

        # It does what it is ordered, and says so.
        fleet.send("command", Command(device_id=DEVICE, id="c-1", action="identify"))
        answered = fleet.wait_for_status(
            lambda status: status.last_command and status.last_command.id == "c-1"
        )
        assert answered.last_command.result == "done"
        fleet.send("config", Config(device_id=DEVICE, rev=2, publish_rate_ms=500))
        applied = fleet.wait_for_status(
            lambda status: status.config and status.config.rev == 2
        )
        assert applied.config.applied
    finally:
        running.kill()

    # It is off: the broker says so, and an alert after five minutes.
    fleet.wait_for_status(lambda status: status.state == "offline")
    # The bridge has it too: a message after the jump would be a sign of life.
    is_off = f"device_id = '{DEVICE}' AND state = 'offline'"
    eventually(lambda: _rows(machine, f"SELECT * FROM status WHERE {is_off}"))
    assert ("DeviceStale", DEVICE) not in _alerts(machine)
    clock.set("+6m")
    eventually(lambda: ("DeviceStale", DEVICE) in _alerts(machine))
    clock.set("+0")

    # It is on again, and its certificate is revoked.
    fleet.probe.received.clear()
    running = board.switch_on()
    try:
        fleet.wait_for_status(lambda status: status.state == "online")
        assert "its connection is ended" in machine.infra("revoke", DEVICE)
        eventually(lambda: any("no broker" in line for line in running.output))
        stored = len(_rows(machine, "SELECT * FROM telemetry"))
        time.sleep(2)
        assert len(_rows(machine, "SELECT * FROM telemetry")) == stored
        # Nor with TLS 1.3.
        tls = machine.tls_of(DEVICE)
        with pytest.raises(Refused):
            Probe(Login("127.0.0.1", machine.ports["DEVICES"], tls=tls))
    finally:
        running.kill()
        fleet.probe.close()
