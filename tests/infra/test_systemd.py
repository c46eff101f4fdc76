"""Units and drop-ins, read by systemd itself as they are on a machine."""

import shutil
import subprocess
from pathlib import Path

import pytest
from rig.process import require
from rig.servers import REPOSITORY

OURS = REPOSITORY / "infra/systemd"
DEBIANS = Path("/lib/systemd/system")
SERVICES = (
    *("mosquitto", "influxdb", "prometheus"),
    *("prometheus-mqtt-exporter", "prometheus-node-exporter"),
    "prometheus-alertmanager",
)
# systemd's exposure, in tenths: up to 2.0 it says "OK"; Debian's own units have 9.2.
EXPOSURE_MAX = 15


PROGRAMS = {
    "egiz-bridge": "/opt/egiz/bin/egiz-bridge",
    "egiz-influxdb": "/usr/bin/python3",
    "egiz-certificates": "/opt/egiz/bin/egiz-infra",
    "egiz-influxdb-http": "/lib/systemd/systemd-socket-proxyd",
}


@pytest.fixture(params=[*SERVICES, *PROGRAMS])
def unit(request, tmp_path):
    """A unit with its drop-ins, as install.sh lays it out."""
    file = tmp_path / f"{request.param}.service"
    drop_ins = tmp_path / f"{file.name}.d"
    drop_ins.mkdir()
    if request.param in PROGRAMS:
        # `verify` wants the program to be there.
        program = PROGRAMS[request.param]
        file.write_text((OURS / file.name).read_text().replace(program, "/bin/true"))
    else:
        if not (DEBIANS / file.name).exists():
            require(request.param, "sh .ci/servers")
        shutil.copy(DEBIANS / file.name, file)
        shutil.copy(OURS / f"{request.param}.conf", drop_ins / "egiz.conf")
    if request.param != "egiz-bridge":
        shutil.copy(OURS / "hardening.conf", drop_ins)
    return file


def _analyze(*arguments):
    command = [require("systemd-analyze", "apt install systemd"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_verifies_the_unit_without_a_message(unit):
    verified = _analyze("verify", "--man=no", unit)
    # It reads the units of the machine, too, and complains of some.
    messages = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert messages == []


def test_the_exposure_of_a_service_is_rated_ok(unit):
    rated = _analyze(
        "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit)
    )
    assert rated.returncode == 0, rated.stdout[-2000:] + rated.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_drop_in_replaces_the_command(name):
    lines = (OURS / f"{name}.conf").read_text().splitlines()
    commands = [line for line in lines if line.startswith("ExecStart=")]
    assert commands[0] == "ExecStart="  # without it, systemd would have two
    assert len(commands) == 2
    assert "/etc/egiz/" in commands[1] or "/var/lib/egiz-" in commands[1]


def test_the_broker_is_not_root_as_it_is_with_debian():
    assert "User=mosquitto" in (OURS / "mosquitto.conf").read_text().splitlines()


def _last(unit, key):
    """The value that counts: a drop-in comes after the unit."""
    files = [unit, *sorted(unit.with_name(f"{unit.name}.d").iterdir())]
    lines = [line for file in files for line in file.read_text().splitlines()]
    values = [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]
    return values[-1] if values else None


def test_a_service_that_cannot_start_is_started_again_for_ever(unit):
    """An address that comes late must not stop a service for good.

    By default systemd gives up after five starts within ten seconds.
    """
    if _last(unit, "Type") == "oneshot":  # at a start of InfluxDB, or by a timer
        return
    assert _last(unit, "Restart") in {"always", "on-failure"}
    assert _last(unit, "StartLimitIntervalSec") == "0"


@pytest.mark.parametrize(
    "name", ["egiz-bridge", "mosquitto", "prometheus", "prometheus-alertmanager"]
)
def test_what_is_reloaded_needs_no_program_that_a_minimal_system_lacks(name):
    assert not any("/bin/kill" in line for line in _reloads(name))
    assert _reloads(name)[-1] == "/bin/sh -c 'kill -HUP $MAINPID'"


def _reloads(name):
    """Commands of its reload, those of Debian first: an empty one removes them."""
    found = []
    for file in (
        DEBIANS / f"{name}.service",
        OURS / f"{name}.service",
        OURS / f"{name}.conf",
    ):
        for line in file.read_text().splitlines() if file.exists() else ():
            key, _, command = line.partition("=")
            if key == "ExecReload":
                found = [*found, command] if command else []
    return found


@pytest.mark.parametrize(
    ("name", "broken"),
    [("prometheus", "alerts.yml"), ("prometheus-alertmanager", "alertmanager.yml")],
)
def test_a_reload_with_a_file_that_cannot_be_read_fails_and_says_why(
    tmp_path, name, broken
):
    """They would go on with the rules of before, without a word to who reloads."""
    shutil.copytree(REPOSITORY / "infra/prometheus", tmp_path / "etc")
    check = _reloads(name)[0].replace("/etc/egiz/prometheus", str(tmp_path / "etc"))
    assert (
        subprocess.run(check.split(), capture_output=True, check=False).returncode == 0
    )
    with (tmp_path / "etc" / broken).open("a") as file:
        file.write("nonsense: [\n")
    done = subprocess.run(check.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert broken in done.stdout + done.stderr
