"""A backup of a running machine, the drill, and a restore that finishes."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from egiz_infra.backup import Kept, back_up
from egiz_infra.drill import drill
from egiz_infra.errors import InfraError
from rig.process import Process, free_port, own_program, require
from rig.publisher import Publisher
from rig.servers import REPOSITORY, InfluxDb, Mosquitto
from rig.waiting import eventually

POINTS = 50_000


def _infra(*arguments, **env):
    command = [own_program("egiz-infra"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def _lines(first, count):
    now_ms = int(time.time() * 1000)
    return "\n".join(
        f"telemetry,device_id=oven-{n % 50:03d} value={n} {now_ms - (first + n) * 20}"
        for n in range(count)
    ).encode()


class Running:
    """A database that is written to, a spool, and files of a broker and of /etc."""

    def __init__(self, directory):
        self.data = directory / "lib"
        self.etc = directory / "etc/egiz"
        self.data.mkdir()
        self.database = InfluxDb(self.data / "influxdb")
        (self.data / "egiz-bridge").mkdir()
        (self.data / "mosquitto").mkdir()
        (self.data / "mosquitto/mosquitto.db").write_bytes(b"saved")
        assert _infra("--directory", self.etc, "init").returncode == 0
        (self.etc / "secrets/influxdb-admin").write_text("admin:secret")
        with sqlite3.connect(self.data / "egiz-bridge/spool.sqlite") as spool:
            spool.execute("PRAGMA journal_mode = WAL")
            spool.execute("CREATE TABLE batches (content)")
            spool.execute("INSERT INTO batches VALUES (1)")
        spool.close()

    def kept(self, save="false"):
        return Kept(self.etc, self.data, save)


@pytest.fixture
def running(tmp_path):
    made = Running(tmp_path)
    made.database.start()
    yield made
    made.database.kill()


def _names(path):
    with tarfile.open(path) as tar:
        return {"/" + name for name in tar.getnames()}


def _counted(scratch):
    """Points of an InfluxDB that starts on what was unpacked there."""
    data = next(scratch.glob("**/influxdb/meta")).parent
    database = InfluxDb(scratch / "server")
    configuration = scratch / "server/influxdb.conf"
    text = configuration.read_text().replace(f"{scratch}/server/", f"{data}/")
    configuration.write_text(text)
    database.start()
    try:
        (row,) = database.query("SELECT count(value) FROM telemetry")
        return row["count"]
    finally:
        database.kill()


def test_a_backup_of_a_database_that_is_written_to_has_what_was_written_before(
    running, tmp_path
):
    """And it is complete in itself: the log, data files and index of one moment."""
    running.database.write(_lines(0, POINTS))
    over = threading.Event()
    written = [POINTS]

    def write():
        while not over.is_set():
            running.database.write(_lines(written[0], 5000))
            written[0] += 5000

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = written[0]
        back_up(running.kept(), tmp_path / "backup", lambda _: None)
        after = written[0] + 5000
    finally:
        over.set()
        writer.join()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with tarfile.open(tmp_path / "backup/influxdb.tar") as tar:
        tar.extractall(scratch, filter="tar")
    assert before <= _counted(scratch) <= after
    assert not (running.data / "influxdb/.egiz-backup").exists()


def test_a_backup_is_for_its_owner_alone(running, tmp_path):
    os.umask(0o022)
    back_up(running.kept(), tmp_path / "backup", lambda _: None)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    files = sorted(path.name for path in (tmp_path / "backup").iterdir())
    assert files == ["bridge.tar", "broker.tar", "etc.tar", "influxdb.tar"]
    for name in files:
        assert (tmp_path / "backup" / name).stat().st_mode & 0o777 == 0o600, name
    assert f"{running.etc}/pki/ca.key" in _names(tmp_path / "backup/etc.tar")
    spool = f"{running.data}/egiz-bridge/spool.sqlite"
    assert _names(tmp_path / "backup/bridge.tar") == {spool}


@pytest.mark.parametrize("broken", ["spool", "broker", "database"])
def test_a_part_that_cannot_be_copied_leaves_no_backup(running, tmp_path, broken):
    save = "false"
    if broken == "spool":
        (running.data / "egiz-bridge/spool.sqlite").write_bytes(b"not a database" * 99)
    if broken == "broker":
        save = "true"  # it was asked, and writes nothing
    if broken == "database":
        shutil.rmtree(running.data / "influxdb/meta")
        (running.data / "influxdb/meta").symlink_to("nowhere")
    kept = running.kept(save)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("egiz_infra.backup._SAVED_WITHIN_S", 0.5)
        with pytest.raises(InfraError):
            back_up(kept, tmp_path / "backup", lambda _: None)
    assert not list(tmp_path.glob("backup*"))


def test_a_broker_that_could_not_be_asked_is_not_said_to_be_stopped(running, tmp_path):
    said = []
    back_up(running.kept("ls /not/there"), tmp_path / "backup", said.append)
    assert "of its last save, right if the broker is stopped (ls: " in said[-1]
    assert "/not/there" in said[-1]


@pytest.mark.parametrize("save", ["", " ", "systemctl 'kill"])
def test_a_command_for_the_broker_that_cannot_be_run_leaves_no_backup(
    running, tmp_path, save
):
    with pytest.raises(InfraError, match="--save-broker"):
        back_up(running.kept(save), tmp_path / "backup", lambda _: None)
    assert not list(tmp_path.glob("backup*"))


def test_a_command_for_the_broker_that_hangs_leaves_no_backup(
    running, tmp_path, monkeypatch
):
    monkeypatch.setattr("egiz_infra.backup._ASKED_WITHIN_S", 0.5)
    with pytest.raises(InfraError, match=r"--save-broker: it has not ended within"):
        back_up(running.kept("sleep 1000"), tmp_path / "backup", lambda _: None)
    assert not list(tmp_path.glob("backup*"))


@pytest.mark.parametrize(
    "place", ["etc/egiz/b", "lib/influxdb/a/b", "lib/egiz-bridge/b", "link/b"]
)
def test_a_backup_inside_of_what_is_backed_up_is_refused(
    running, tmp_path, monkeypatch, place
):
    (tmp_path / "link").symlink_to(running.etc)
    monkeypatch.chdir(tmp_path)
    for target in (Path(place), tmp_path / place):
        with pytest.raises(InfraError, match=r"is inside .*, which is backed up"):
            back_up(running.kept(), target, lambda _: None)
    assert not list(tmp_path.rglob("b")) + list(tmp_path.rglob("b.new"))


@pytest.mark.parametrize("refuses", [True, False], ids=["FAT", "a share"])
def test_a_place_where_everybody_could_read_it_gets_no_backup(
    running, tmp_path, monkeypatch, refuses
):
    """As such file systems do: all have the same rights, whatever is asked for."""
    real = Path.mkdir

    def mkdir(path, mode=0o777, **options):
        real(path, 0o755 if mode == 0o700 else mode, **options)

    def chmod(*_):
        if refuses:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir)
        patched.setattr(Path, "chmod", chmod)
        with pytest.raises(InfraError, match="without owners and rights"):
            back_up(running.kept(), tmp_path / "backup", lambda _: None)
    assert not list(tmp_path.glob("backup*"))


def test_what_a_link_leads_to_is_backed_up_and_not_the_link(
    running, tmp_path, monkeypatch
):
    """As on a machine whose data was moved to a larger disk."""
    for path in (running.etc, running.data / "mosquitto"):
        moved = tmp_path / f"moved-{path.name}"
        shutil.move(path, moved)
        path.symlink_to(moved)
    (running.data / "mosquitto/mosquitto.db").rename(tmp_path / "saved")
    (running.data / "mosquitto/mosquitto.db").symlink_to(tmp_path / "saved")

    def other_disk(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    running.database.write(_lines(0, 5000))
    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    back_up(running.kept(), tmp_path / "backup", lambda _: None)
    assert f"{running.etc}/pki/ca.key" in _names(tmp_path / "backup/etc.tar")
    with tarfile.open(tmp_path / "backup/broker.tar") as tar:
        (saved,) = tar
        assert f"/{saved.name}" == f"{running.data}/mosquitto/mosquitto.db"
        assert tar.extractfile(saved).read() == b"saved"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with tarfile.open(tmp_path / "backup/influxdb.tar") as tar:
        tar.extractall(scratch, filter="tar")
    assert _counted(scratch) == 5000


def test_an_archive_that_was_cut_off_between_two_files_is_found(tmp_path):
    path = tmp_path / "etc.tar"
    with tarfile.open(path, "w") as tar:
        for n in range(9):
            (tmp_path / f"{n}").write_bytes(b"x" * 9)
            tar.add(tmp_path / f"{n}", arcname=f"{n}")
    whole = path.read_bytes()
    # After each header or block: tarfile alone reads most of them without an error.
    for size in range(0, 9 * 1024 + 1, 512):
        path.write_bytes(whole[:size])
        with pytest.raises(InfraError, match=r"etc.tar cannot be unpacked"):
            drill(tmp_path, lambda *_: None)


def test_a_backup_replaces_none(running, tmp_path):
    (tmp_path / "backup").mkdir()
    with pytest.raises(InfraError, match="is there already"):
        back_up(running.kept(), tmp_path / "backup", lambda _: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network")
def test_a_directory_of_somebody_else_is_not_removed_for_a_backup(running, tmp_path):
    other = tmp_path / "target.new"
    other.mkdir()
    (other / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InfraError, match=r"is in the way, with photo\.jpg"):
        back_up(running.kept(), tmp_path / "target", lambda _: None)
    assert (other / "photo.jpg").read_bytes() == b"x"
    (other / "photo.jpg").rename(
        other / "etc.tar"
    )  # as a backup that was killed leaves
    (running.data / "mosquitto/mosquitto.db").unlink()
    back_up(running.kept(), tmp_path / "target", lambda _: None)


def test_a_second_backup_at_once_is_refused_and_the_first_is_complete(
    running, tmp_path
):
    (running.data / "mosquitto/mosquitto.db").unlink()
    refused = []

    def report(_):
        with pytest.raises(InfraError, match=r"another backup of .* is being made"):
            back_up(running.kept(), tmp_path / "second", lambda _: None)
        refused.append(True)

    back_up(running.kept(), tmp_path / "first", report)
    assert len(refused) == 4
    assert not (tmp_path / "second").exists()


def test_no_program_outside_reaches_the_port_that_wants_no_password(tmp_path):
    """InfluxDB in its own network, and systemd's proxy to its HTTP: as the units."""
    activate = require("systemd-socket-activate", "apt install systemd")
    shipped = (REPOSITORY / "infra/influxdb/influxdb.conf").read_text()
    configuration = tmp_path / "influxdb.conf"
    text = shipped.replace("/var/lib/influxdb", str(tmp_path / "data"))
    # A port that is known, to try it.
    configuration.write_text(text.replace("127.0.0.1:0", "127.0.0.1:8088"))
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    database = Process(
        [*alone, "influxd", "-config", str(configuration)], tmp_path / "influxdb.log"
    )
    database.wait_for("Listening on HTTP", 30)
    port, inside = free_port(), ["nsenter", f"--net=/proc/{database.pid}/ns/net"]
    proxy = "/lib/systemd/systemd-socket-proxyd"
    there = [activate, "-l", f"127.0.0.1:{port}", *inside, proxy, "127.0.0.1:8086"]
    listener = Process(there, tmp_path / "proxy.log")
    try:
        ping = f"http://127.0.0.1:{port}/ping"
        eventually(lambda: urllib.request.urlopen(ping, timeout=5).close() or True, 30)
        connects = "import socket; socket.create_connection(('127.0.0.1', 8088), 5)"
        program = [sys.executable, "-c", connects]
        outside = subprocess.run(program, capture_output=True, check=False)
        within = subprocess.run([*inside, *program], capture_output=True, check=False)
    finally:
        listener.kill()
        database.kill()
    assert (outside.returncode, within.returncode) == (1, 0)


def test_whoever_calls_a_drill_has_its_network_afterwards(tmp_path):
    """The copies have one of their own, in which no other work may end."""
    network = Path("/proc/thread-self/ns/net")
    before = network.readlink()
    with pytest.raises(InfraError, match="cannot be unpacked"):
        drill(tmp_path, lambda *_: None)
    assert network.readlink() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network")
def test_a_drill_counts_what_the_backup_has_and_finds_what_is_damaged(
    running, tmp_path
):
    running.database.query(
        "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES"
    )
    running.database.write(_lines(0, 5000))
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    with Publisher(broker) as publisher:
        for n in range(3):
            publisher.publish(f"sensors/factory/oven-{n}/status", b"{}", retain=True)
    broker.stop()
    saved = running.data / "mosquitto/mosquitto.db"
    shutil.copy(tmp_path / "broker/mosquitto.db", saved)
    back_up(running.kept(), tmp_path / "backup", lambda _: None)
    done = _infra("drill", tmp_path / "backup")
    assert done.returncode == 0, done.stderr
    counted = {
        name: int(count.replace(",", ""))
        for count, name in (line.split(maxsplit=1) for line in done.stdout.splitlines())
    }
    assert counted == {
        "certificates": 0,
        "spool.sqlite batches": 1,
        "broker retained": 3,
        "influxdb telemetry": 5000,
    }
    (tmp_path / "backup/bridge.tar").write_bytes(b"not an archive")
    done = _infra("drill", tmp_path / "backup")
    assert done.returncode == 1
    assert "bridge.tar cannot be unpacked" in done.stderr
