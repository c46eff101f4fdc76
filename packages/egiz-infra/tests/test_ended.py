"""A command that is ended from outside: what it made for a while is gone."""

import signal
from pathlib import Path

import pytest
from rig.waiting import eventually

BROKER = "#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}; exec sleep 600\n"


@pytest.fixture
def backup(infra, tmp_path):
    """A backup with a file of a broker."""
    data = tmp_path / "data"
    (data / "mosquitto").mkdir(parents=True)
    (data / "mosquitto/mosquitto.db").write_bytes(b"db")
    target = tmp_path / "backup"
    infra("backup", str(target), "--data", str(data), "--save-broker", "false")
    return target


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_drill_leaves_neither_keys_nor_servers(launch, backup, tmp_path, number):
    scratch, programs = tmp_path / "scratch", tmp_path / "programs"
    scratch.mkdir()
    programs.mkdir()
    started = tmp_path / "started"
    (programs / "mosquitto").write_text(BROKER.format(started))
    (programs / "mosquitto").chmod(0o755)
    env = {"TMPDIR": str(scratch), "PATH": f"{programs}:/usr/bin:/bin"}
    running = launch("egiz-infra", "drill", str(backup), env=env)
    running.wait_until(started.exists)
    assert [*scratch.glob("**/ca.key")]
    running.signal(number)
    assert running.wait() == -number
    assert [*scratch.iterdir()] == []
    eventually(lambda: not Path("/proc", started.read_text().strip()).exists())


def test_a_backup_of_a_machine_without_a_database_can_be_drilled(infra, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    target = tmp_path / "backup"
    infra("issue", "broker", "broker.factory")
    infra("backup", str(target), "--data", str(data), "--save-broker", "false")
    assert infra("drill", str(target)).split() == ["1", "certificates"]
