"""Who owns the files that egiz-infra writes."""

import errno
import fcntl
import os

import pytest

FILES = ("acl", "ca.pem", "crl.pem", "passwd", "broker.pem", "broker.key")


def test_a_file_belongs_to_whoever_owns_its_directory(infra):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(infra.layout.broker, 1883, 1884)
    infra("apply", "--files-only")
    for name in ("acl", "ca.pem", "crl.pem"):
        found = (infra.layout.broker / name).stat()
        assert (found.st_uid, found.st_gid) == (1883, 1884)


def _write_everything(infra):
    infra("issue", "broker", "localhost")
    infra("account", "health")
    infra("apply", "--files-only")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("temporary", [False, True])
@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_link_in_the_directory_of_the_broker_is_replaced_and_never_followed(
    infra, name, temporary, link
):
    """The user of the broker owns the directory, and root reads and writes there."""
    _write_everything(infra)
    secret = infra.layout.pki / "ca.key"
    before = (secret.read_bytes(), secret.stat().st_mode, secret.stat().st_uid)
    path = infra.layout.broker / (f".{name}.new" if temporary else name)
    path.unlink(missing_ok=True)
    if link == "symbolic":
        path.symlink_to("../pki/ca.key")
    else:
        path.hardlink_to(secret)
    _write_everything(infra)
    assert (secret.read_bytes(), secret.stat().st_mode, secret.stat().st_uid) == before
    assert not path.is_symlink()
    for file in infra.layout.broker.iterdir():
        assert secret.read_bytes().splitlines()[1] not in file.read_bytes()


@pytest.mark.parametrize("name", ["acl", ".acl.new"])
def test_a_directory_where_a_file_belongs_is_named(infra, name):
    (infra.layout.broker / "acl").unlink()
    (infra.layout.broker / name).mkdir()
    output = infra("apply", "--files-only", code=1)
    assert f"{infra.layout.broker / 'acl'} cannot be written: " in output


def test_a_full_disk_is_named_and_the_old_file_stays(infra, monkeypatch):
    before = (infra.layout.broker / "acl").read_bytes()

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    output = infra("apply", "--files-only", code=1)
    assert "cannot be written: No space left on device" in output
    assert (infra.layout.broker / "acl").read_bytes() == before


def test_a_command_that_was_suspended_is_not_waited_for_without_a_word(
    infra, monkeypatch
):
    monkeypatch.setattr("egiz_infra.layout._WAITS_S", 0.2)
    with (infra.layout.pki / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        output = infra("account", "bridge", code=1)
    assert f"another egiz-infra has been at work in {infra.layout.root}" in output
    infra("account", "bridge")
