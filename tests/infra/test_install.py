"""install.sh, run for real: installed, started, used, and installed again."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from egiz_schema import Telemetry, Thermal, encode
from paho.mqtt.enums import CallbackAPIVersion
from rig.machine import ADDRESSES, INSTALL, Machine
from rig.process import free_port, require
from rig.servers import REPOSITORY
from rig.waiting import eventually

DEVICE = "oven-001"
# Packages are built and installed for the first of the tests.
pytestmark = pytest.mark.timeout(600)
FOUND = f"SELECT thermal_setpoint FROM telemetry WHERE device_id = '{DEVICE}'"


@pytest.fixture(scope="module")
def machine(tmp_path_factory, dist):
    for program in (
        *("mosquitto", "influxd", "prometheus"),
        *("prometheus-mqtt-exporter", "prometheus-node-exporter"),
    ):
        require(program, "sh .ci/servers")
    made = Machine(tmp_path_factory.mktemp("machine") / "root", dist)
    made.install(**made.addresses())
    try:
        made.start()
        yield made
    finally:
        for unit in made.units.values():
            unit.kill()


@pytest.fixture(scope="module")
def stored(machine):
    """A message that a device published, as it must be found in the database."""
    machine.infra("issue", "device", DEVICE)
    machine.infra("apply")
    return _publish(machine, 187.5)


def _publish(machine, setpoint):
    now = int(time.time())
    thermal = Thermal(setpoint=setpoint)
    sent = Telemetry(device_id=DEVICE, timestamp=now, thermal=thermal)
    client = _connected(machine.ports["DEVICES"], tls=machine.tls_of(DEVICE))
    topic = f"sensors/factory/{DEVICE}/telemetry"
    client.publish(topic, encode(sent), 1).wait_for_publish(20)
    _leave(client)
    return [now * 1000, setpoint]


def _connected(port, login=None, tls=None):
    """A client, or None if the broker refuses it."""
    codes, decided = [], threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "whoever")

    def connected(_client, _data, _flags, code, _properties):
        codes.append(code)
        decided.set()

    client.on_connect = connected
    if login:
        client.username_pw_set(*login)
    if tls:
        client.tls_set_context(tls)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert decided.wait(20)
    if not codes[0].is_failure:
        return client
    client.loop_stop()
    return None


def _leave(client):
    client.disconnect()
    client.loop_stop()


def test_a_message_that_a_device_publishes_is_in_the_database(machine, stored):
    reader = machine.secret("influxdb-grafana")
    assert eventually(lambda: machine.rows(reader, FOUND)[1], 30) == [stored]


def test_broker_and_database_refuse_a_wrong_login(machine):
    assert machine.rows("", FOUND)[0] == 401
    assert machine.rows("admin:admin", FOUND)[0] == 401
    writer = machine.secret("influxdb-bridge")
    assert machine.rows(writer, FOUND)[0] == 403
    services = machine.ports["SERVICES"]
    assert _connected(services) is None
    assert _connected(services, ("egizcore", "egizcore")) is None
    _leave(_connected(services, ("egizcore", machine.secret("egizcore"))))
    with (
        socket.create_connection(("127.0.0.1", machine.ports["DEVICES"])) as raw,
        machine.anonymous_tls().wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        pytest.raises(ssl.SSLError, match="certificate required"),
    ):
        tls.recv(1)


def test_only_the_owner_can_read_secrets_and_no_other_file_has_them(machine):
    for directory in ("secrets", "pki"):
        assert (machine.etc / directory).stat().st_mode & 0o077 == 0
    secrets = [p for p in (machine.etc / "secrets").iterdir() if p.is_file()]
    assert len(secrets) == 10
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    texts = {path.read_bytes().rpartition(b":")[2] for path in secrets}
    assert len(texts) == len(secrets)
    assert min(map(len, texts)) >= 32
    laid = [p for d in ("etc", "usr") for p in (machine.root / d).rglob("*")]
    others = [p.read_bytes() for p in laid if p.is_file() and p not in secrets]
    assert len(others) > 30
    assert not [text for text in texts for other in others if text in other]


def _prometheus(machine, what):
    return json.loads(machine.get("PROMETHEUS", f"/api/v1/{what}")[1])["data"]


def test_prometheus_watches_the_bridge_and_the_broker(machine):
    targets = eventually(
        lambda: _prometheus(machine, "targets")["activeTargets"], timeout=30
    )
    assert {one["labels"]["job"]: one["labels"]["instance"] for one in targets} == {
        "egiz-bridge": f"127.0.0.1:{machine.ports['BRIDGE']}",
        "mosquitto": f"127.0.0.1:{machine.ports['EXPORTER']}",
        "node": f"127.0.0.1:{machine.ports['NODE']}",
    }
    groups = _prometheus(machine, "rules")["groups"]
    assert "BrokerDown" in [rule["name"] for one in groups for rule in one["rules"]]
    eventually(lambda: _exporter_is_healthy(machine.ports["EXPORTER"]), 30)
    assert not _exporter_is_healthy(free_port())


@pytest.mark.usefixtures("stored")
def test_prometheus_has_the_expiry_of_every_certificate(machine):
    """By the unit that the timer starts, and node-exporter: the bridge has no TLS."""
    machine.units["egiz-certificates"].start()
    metric = "egiz_certificate_expiry_timestamp_seconds"
    query = f"query?query={metric}+-+time()"

    def found():
        result = _prometheus(machine, query)["result"]
        return {one["metric"]["certificate"]: one["value"][1] for one in result}

    eventually(lambda: DEVICE in found(), 40)
    days = {name: round(float(seconds) / 86_400) for name, seconds in found().items()}
    assert days.pop(DEVICE) == 730
    assert days.pop("OpenEgiz") == 3650
    assert list(days.values()) == [730]  # the broker, by the name of this host


def _exporter_is_healthy(port):
    """What compose's health check says: connected to the broker."""
    check = REPOSITORY / "infra/docker/exporter-health.sh"
    done = subprocess.run(["bash", check, str(port)], capture_output=True, check=False)
    return done.returncode == 0


def _fingerprints(machine):
    kept = [p for d in ("secrets", "pki") for p in (machine.etc / d).rglob("*")]
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in kept if p.is_file()}


def test_another_run_keeps_secrets_data_and_changed_files(machine, stored):
    before = _fingerprints(machine)
    changed = machine.etc / "influxdb/influxdb.conf"
    offered = changed.with_name("influxdb.conf.new")
    changed.write_text(changed.read_text().replace("60s", "30s"))
    machine.ports["EXPORTER"] = free_port()
    address = f"127.0.0.1:{machine.ports['EXPORTER']}"
    # Nothing new for that file; the other settings are those of the first run.
    assert "you changed" not in machine.install(EGIZ_EXPORTER=address)
    assert not offered.exists()
    address = f"localhost:{machine.ports['INFLUXDB']}"
    assert f"you changed {changed}" in machine.install(EGIZ_INFLUXDB=address)
    assert address in offered.read_text()
    assert "30s" in changed.read_text()
    assert _fingerprints(machine) == before
    codes = machine.stop()
    for name in ("prometheus-mqtt-exporter", "prometheus-node-exporter"):
        assert codes.pop(name) == -signal.SIGTERM  # it keeps nothing
    assert set(codes.values()) == {0}
    machine.start()
    after = _publish(machine, 188.5)
    reader = machine.secret("influxdb-grafana")
    eventually(lambda: len(machine.rows(reader, FOUND)[1]) == 2, 30)
    assert machine.rows(reader, FOUND)[1] == [stored, after]
    test_prometheus_watches_the_bridge_and_the_broker(machine)


def _run(*arguments, **options):
    command = ["sh", INSTALL, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )


def test_it_explains_itself():
    done = _run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ADDRESSES:
        assert f"EGIZ_{name} " in done.stdout
    assert "--prefix DIR" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--prefx", "x"], {}, "unknown argument: --prefx"),
        (["--prefix"], {}, "--prefix needs a directory"),
        # With a wrong argument after it, so that a failure here installs nothing.
        (["--prefix", "", "--no"], {}, "--prefix needs a directory"),
        (["--wheels", "", "--no"], {}, "--wheels needs a directory"),
        (["--prefix", "{tmp}/a b"], {}, "letters, digits and . _ - + / only"),
        (["--prefix", "{tmp}/a|b"], {}, "letters, digits and . _ - + / only"),
        (["--prefix", "{tmp}", "--wheels", "/none"], {}, "no directory /none"),
        *(
            (["--prefix", "{tmp}"], {"EGIZ_NODE": text}, "EGIZ_NODE must be address")
            for text in ("a:0", "a:65536", "a:0x5", "::1:9100", "a:999999", "a:-1")
        ),
        (["--prefix", "{tmp}"], {"EGIZ_BRIDGE": "9471"}, "EGIZ_BRIDGE must be address"),
        (["--prefix", "{tmp}"], {"EGIZ_BRIDGE": "a:b"}, "EGIZ_BRIDGE must be address"),
        (["--prefix", "{tmp}"], {"EGIZ_NAMES": "a'; id"}, "EGIZ_NAMES: letters"),
        (["--prefix", "{tmp}"], {"EGIZ_NAMES": "ok -x"}, "-x is no name of a host"),
        (["--prefix", "{tmp}"], {"EGIZ_DOCS": "docs/"}, "EGIZ_DOCS must begin with"),
        (["--prefix", "{tmp}"], {"EGIZ_DOCS": "http://a|b"}, "EGIZ_DOCS: no character"),
        (["--prefix", "{tmp}"], {"EGIZ_GRAFANA": "a:3000"}, "EGIZ_GRAFANA must begin"),
        (["--prefix", "{tmp}"], {"EGIZ_GRAFANA": "http://a/"}, "EGIZ_GRAFANA must not"),
        (["--prefix", "{tmp}"], {"EGIZ_NAMES": " "}, "EGIZ_NAMES has no name in it"),
        (["--prefix", "{tmp}"], {"EGIZ_NAMES": "a" * 65}, "longer than 64"),
        (["--prefix", "{tmp}"], {"EGIZ_RETENTION": "30"}, "EGIZ_RETENTION must be"),
        (["--prefix", "{tmp}"], {"EGIZ_RETENTION": "0d"}, "EGIZ_RETENTION must be"),
    ],
)
def test_wrong_usage_is_explained_and_changes_nothing(
    tmp_path, arguments, environment, message
):
    target = tmp_path / "root"
    given = [text.format(tmp=target) for text in arguments]
    done = _run(*given, env={**os.environ, **environment})
    assert done.returncode == 2
    assert message in done.stderr
    assert not [path for path in target.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"EGIZ_DEVICES": "10.20.0.5:8884"},
            "EGIZ_DEVICES_TLS12 and EGIZ_DEVICES are both at 10.20.0.5:8884",
        ),
        (
            {"EGIZ_SERVICES": "0.0.0.0:8883"},
            "EGIZ_SERVICES and EGIZ_DEVICES are both at 0.0.0.0:8883",
        ),
        (
            {"EGIZ_BRIDGE": "localhost:9090"},
            "EGIZ_PROMETHEUS and EGIZ_BRIDGE are both at 127.0.0.1:9090",
        ),
    ],
)
def test_two_services_at_one_port_are_refused_before_anything_is_written(
    tmp_path, settings, message
):
    done = _run("--prefix", tmp_path, env={**os.environ, **settings})
    assert done.returncode == 2
    assert message in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("EGIZ_NODE='127.0.0.1:9100'\r", "EGIZ_NODE: letters, digits"),
        ("EGIZ_DOCS='http://docs.factory'\r", "EGIZ_DOCS: no character"),
        ("EGIZ_NODE=9100", "EGIZ_NODE must be address:port"),
        ("EGIZ_DEVICES=10.20.0.5:88830", "EGIZ_DEVICES must be address:port"),
        ("EGIZ_NAMES='-x'", "-x is no name of a host"),
        ("EGIZ_RETENTION=1y", "EGIZ_RETENTION must be"),
    ],
)
def test_settings_that_were_changed_by_hand_are_checked_too(tmp_path, line, message):
    _listeners(tmp_path)
    path = tmp_path / "etc/egiz/install.env"
    path.write_bytes(path.read_bytes() + f"{line}\n".encode())
    before = _files(tmp_path)
    done = _run("--prefix", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert f"{path} keeps the settings" in done.stderr
    assert _files(tmp_path) == before


def _files(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_new_address_of_a_service_may_be_the_former_one_of_another(tmp_path):
    moved = {
        "EGIZ_SERVICES": "127.0.0.1:8086",
        "EGIZ_INFLUXDB": "127.0.0.1:9471",
        "EGIZ_BRIDGE": "127.0.0.1:9641",
        "EGIZ_EXPORTER": "127.0.0.1:9100",
        "EGIZ_NODE": "127.0.0.1:9090",
        "EGIZ_PROMETHEUS": "127.0.0.1:1883",
        "EGIZ_DOCS": "http://localhost:3000",
        "EGIZ_GRAFANA": "http://localhost:9090",
    }
    _listeners(tmp_path, **moved)
    etc, units = tmp_path / "etc/egiz", tmp_path / "etc/systemd/system"
    bridge = (etc / "bridge.toml").read_text()
    assert 'url = "mqtt://127.0.0.1:8086"' in bridge
    assert 'url = "http://127.0.0.1:9471"' in bridge
    assert 'listen = "127.0.0.1:9641"' in bridge
    assert "tcp://127.0.0.1:8086" in (etc / "prometheus/mqtt-exporter.yml").read_text()
    targets = (etc / "prometheus/targets.yml").read_text()
    found = [line.partition('"')[2][:-2] for line in targets.splitlines()]
    assert [text for text in found if text] == [
        *("127.0.0.1:9641", "127.0.0.1:9100", "127.0.0.1:9090")
    ]
    for unit, argument in (
        ("prometheus", "--web.listen-address=127.0.0.1:1883\n"),
        ("prometheus-node-exporter", "--web.listen-address=127.0.0.1:9090\n"),
        ("prometheus-mqtt-exporter", "-listen-port 9100\n"),
    ):
        assert argument in (units / f"{unit}.service.d/egiz.conf").read_text()
    alerts = (etc / "prometheus/alerts.yml").read_text()
    assert "runbook_url: http://localhost:3000/" in alerts
    assert "dashboard_url: http://localhost:9090/" in alerts


def test_a_second_installation_at_the_same_time_changes_nothing(tmp_path):
    _listeners(tmp_path)
    before = _files(tmp_path)
    lock = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _run("--prefix", tmp_path, env={**os.environ, "EGIZ_NODE": "a:9"})
    finally:
        os.close(lock)
    assert done.returncode == 1
    assert "another install.sh is at work" in done.stderr
    assert _files(tmp_path) == before
    _listeners(tmp_path, EGIZ_NODE="a:9")


def test_a_program_that_is_missing_is_named(tmp_path):
    for name in ("sh", "dirname", "mkdir", "hostname"):
        (tmp_path / name).symlink_to(require(name, "apt install coreutils hostname"))
    done = _run("--prefix", tmp_path / "root", env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "not installed:" in done.stderr
    assert "apt install" in done.stderr


def _listeners(root, **settings):
    _stand_in(root / "opt/egiz/bin/python", "exit 0")
    _stand_in(
        root / "opt/egiz/bin/egiz-infra",
        f"mkdir -p {root}/etc/egiz/pki {root}/etc/egiz/secrets",
    )
    done = _run("--prefix", root, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    found = [line for line in _lines(root) if line.startswith("listener ")]
    assert len(found) == len(set(found))  # the broker cannot open a port twice
    return set(found)


def _lines(root):
    files = (root / "etc/egiz/mosquitto/conf.d").glob("*.conf")
    return [line for path in files for line in path.read_text().splitlines()]


def test_a_listener_in_a_production_conf_that_was_changed_stops_it(tmp_path):
    _listeners(tmp_path)
    path = tmp_path / "etc/egiz/mosquitto/conf.d/production.conf"
    path.write_text("listener 8883\n" + path.read_text())
    done = _run("--prefix", tmp_path)
    assert done.returncode == 1
    assert f"you changed {path}: listeners are in files of their own" in done.stderr
    path.unlink()
    _listeners(tmp_path)


def test_the_listener_for_tls_1_2_is_on_the_devices_network_until_it_is_turned_off(
    tmp_path,
):
    services = "listener 1883 127.0.0.1"
    own = "listener 8883 127.0.0.1"
    assert _listeners(tmp_path) == {services, own, "listener 8884 127.0.0.1"}
    own = "listener 8883 10.20.0.5"
    found = _listeners(tmp_path, EGIZ_DEVICES="10.20.0.5:8883")
    assert found == {services, own, "listener 8884 10.20.0.5"}
    found = _listeners(tmp_path, EGIZ_DEVICES_TLS12="10.20.0.6:9")
    assert found == {services, own, "listener 9 10.20.0.6"}
    assert "tls_version tlsv1.2" in _lines(tmp_path)
    assert _listeners(tmp_path, EGIZ_DEVICES_TLS12="off") == {services, own}
    versions = {line for line in _lines(tmp_path) if line.startswith("tls_version")}
    assert versions == {"tls_version tlsv1.3"}
    assert _listeners(tmp_path) == {services, own}  # it stays off
    moved = "listener 8883 10.20.0.7"
    assert _listeners(tmp_path, EGIZ_DEVICES="10.20.0.7:8883") == {services, moved}


def test_the_operators_command_has_the_settings_unless_the_environment_has_others(
    tmp_path,
):
    names = "broker.factory 10.20.0.5"
    _listeners(tmp_path, EGIZ_DEVICES="10.20.0.5:8883", EGIZ_NAMES=names)
    _stand_in(tmp_path / "opt/egiz/bin/egiz-infra", 'env; printf "%s\\n" "$@"')

    def settings(**given):
        own = {k: v for k, v in os.environ.items() if not k.startswith("EGIZ_")}
        program = tmp_path / "usr/local/sbin/egiz-infra"
        output = subprocess.check_output([program, "list", "a b"], env=own | given)
        lines = output.decode().splitlines()
        assert lines[-2:] == ["list", "a b"]
        return dict(line.split("=", 1) for line in lines if line.startswith("EGIZ_"))

    kept = settings()
    assert kept["EGIZ_DIRECTORY"] == f"{tmp_path}/etc/egiz"
    assert kept["EGIZ_DATA"] == f"{tmp_path}/var/lib"
    assert kept["EGIZ_DEVICES"] == "10.20.0.5:8883"
    assert kept["EGIZ_DEVICES_TLS12"] == "10.20.0.5:8884"
    assert kept["EGIZ_NAMES"] == names
    by_hand = {"EGIZ_DEVICES": "127.0.0.1:9", "EGIZ_DIRECTORY": "/srv/a directory"}
    assert settings(**by_hand) == kept | by_hand
    # As for install.sh, what is empty is not set.
    assert settings(EGIZ_DEVICES="") == kept


def test_the_operators_command_says_that_the_settings_cannot_be_read(tmp_path):
    _listeners(tmp_path)
    (tmp_path / "etc/egiz/install.env").unlink()
    program = tmp_path / "usr/local/sbin/egiz-infra"
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "install.env" in done.stderr


_STEPS = {
    "init": "egiz-infra init failed",
    "issue": "egiz-infra issue failed",
    "account": "egiz-infra account failed",
    "apply": "egiz-infra apply failed",
}


def _stand_in(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _install_with_stand_ins(root, failing):
    """Packages and egiz-infra are programs that do nothing; one command fails."""
    _stand_in(root / "opt/egiz/bin/python", "exit 0")
    _stand_in(
        root / "opt/egiz/bin/egiz-infra",
        f"mkdir -p {root}/etc/egiz/pki {root}/etc/egiz/secrets\n"
        f'[ "$3" != {failing} ] || {{ echo "disk full" >&2; exit 1; }}',
    )
    return _run("--prefix", root)


def test_stand_ins_install_everything_if_no_step_fails(tmp_path):
    done = _install_with_stand_ins(tmp_path, "none")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/egiz/install.env").exists()


@pytest.mark.parametrize("step", _STEPS)
def test_a_step_that_fails_ends_the_installation_and_is_named(tmp_path, step):
    done = _install_with_stand_ins(tmp_path, step)
    assert done.returncode == 1
    assert "disk full" in done.stderr
    assert _STEPS[step] in done.stderr
    # Nothing after it: no configuration for a broker without certificates.
    assert not (tmp_path / "etc/egiz/install.env").exists()
    assert not (tmp_path / "etc/egiz/mosquitto").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_is_not_root_learns_of_prefix():
    with tempfile.TemporaryDirectory() as name:  # the checkout may be one of root
        Path(name).chmod(0o755)
        script = shutil.copy(INSTALL, name)
        done = subprocess.run(
            ["sh", script], user=65534, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "--prefix DIR" in done.stderr


SCRIPTS = [
    INSTALL,
    *sorted(Path(REPOSITORY, "infra").glob("*/*.sh")),
    *(REPOSITORY / ".ci" / name for name in ("run", "servers", "setup", "engines")),
    *sorted((REPOSITORY / ".ci/get").iterdir()),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    shellcheck = require("shellcheck", "apt install shellcheck")
    done = subprocess.run([shellcheck, script], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
