"""check-queue.sh: what the broker saved is not lost silently, nor ends each start."""

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest
from rig.process import require
from rig.publisher import Publisher
from rig.servers import REPOSITORY, Mosquitto

CHECK = REPOSITORY / "infra/mosquitto/check-queue.sh"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """What a broker saves that has retained messages."""
    broker = Mosquitto(tmp_path_factory.mktemp("queue") / "broker")
    broker.start()
    with Publisher(broker) as publisher:
        for n in range(9):
            publisher.publish(f"sensors/factory/oven-{n}/status", b"{}", retain=True)
    broker.stop()
    return (broker.directory / "mosquitto.db").read_bytes()


@pytest.fixture
def saved(content):
    """The file, in a directory of the broker's user."""
    require("mosquitto", "sh .ci/servers")  # its package makes the user
    with tempfile.TemporaryDirectory(prefix="egiz-test-") as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "mosquitto"
        directory.mkdir(mode=0o700)
        file = directory / "mosquitto.db"
        file.write_bytes(content)
        file.chmod(0o600)
        for path in (directory, file):
            os.chown(path, _broker().pw_uid, _broker().pw_gid)
        yield file


def _broker():
    return pwd.getpwnam("mosquitto")


def _checked(file):
    user = _broker()
    done = subprocess.run(
        ["sh", "-s", file],  # the checkout may be in a directory of root
        input=CHECK.read_text(),
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_the_broker_starts_with_its_own_file_and_without_one(saved):
    assert _checked(saved) == (0, "")
    saved.unlink()
    assert _checked(saved) == (0, "")


def _as_a_link_to_nowhere(saved):
    saved.unlink()
    saved.symlink_to("/none")


def _as_a_directory(saved):
    saved.unlink()
    saved.mkdir()


_WRONG = {
    "file of root": lambda saved: os.chown(saved, 0, 0),
    "no rights": lambda saved: saved.chmod(0),
    "directory of root": lambda saved: os.chown(saved.parent, 0, 0),
    "read-only directory": lambda saved: saved.parent.chmod(0o500),
    "link to nowhere": _as_a_link_to_nowhere,
    "a directory": _as_a_directory,
}


@pytest.mark.parametrize("how", _WRONG)
def test_what_it_cannot_read_or_replace_stops_the_start(saved, how):
    _WRONG[how](saved)
    code, message = _checked(saved)
    assert code == 1
    assert "not started, so that no queue is lost: chown -R mosquitto:" in message


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda content: content[:-3], id="without its end"),
        pytest.param(lambda _: b"something else" * 9, id="of another program"),
    ],
)
def test_a_damaged_file_is_kept_elsewhere_and_the_broker_starts(saved, damaged):
    """Seen after power failures: the broker ended at once, each time it was started."""
    there = damaged(saved.read_bytes())
    saved.write_bytes(there)
    code, message = _checked(saved)
    (kept,) = saved.parent.iterdir()
    assert (code, kept.read_bytes()) == (0, there)
    assert f"{saved} is damaged" in message
    assert f"it is {kept} now" in message
    assert "sessions, what waited in their queues, and retained messages" in message


def test_a_file_of_a_newer_broker_stops_the_start_and_stays(saved):
    whole = saved.read_bytes()
    newer = whole[:19] + b"\0\0\0\x63" + whole[23:]
    saved.write_bytes(newer)
    code, message = _checked(saved)
    assert code == 1
    assert "was saved by a newer broker; not started" in message
    assert [p.read_bytes() for p in saved.parent.iterdir()] == [newer]


def test_it_is_run_before_the_broker_on_bare_metal_and_in_containers():
    unit = (REPOSITORY / "infra/systemd/mosquitto.conf").read_text()
    assert "ExecStartPre=/bin/sh /opt/egiz/lib/check-queue.sh /var/lib/" in unit
    compose = (REPOSITORY / "infra/compose.yaml").read_text()
    assert "sh /usr/local/lib/egiz/check-queue.sh && exec /usr/sbin" in compose
    assert CHECK.name in (REPOSITORY / "infra/install.sh").read_text()
