"""The commands of `egiz-infra`: what they print, and what they refuse."""

import os
import stat

import pytest


def test_keys_and_passwords_are_private_and_never_shown(infra):
    output = infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    output += infra("issue", "device", "oven-001", "mixer-002")
    output += infra("issue", "service", "bridge") + infra("account", "bridge")
    output += infra("renew", "oven-001") + infra("list") + infra("acl")
    root = infra.layout.root
    secret = [
        root / "pki/ca.key",
        root / "broker/broker.key",
        root / "broker/passwd",
        root / "issued/oven-001/key.der",
        root / "issued/bridge/key.pem",
        root / "secrets/bridge",
    ]
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for name in ("pki", "secrets", "issued"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o700
    password = (root / "secrets/bridge").read_text()
    assert len(password) >= 40
    assert password.strip() == password
    assert password not in output
    assert password not in (root / "broker/passwd").read_text()
    assert "PRIVATE" not in output
    assert not list(root.rglob("*.new"))


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("init",), "there is an authority in"),
        (("issue", "device", "Oven-1"), "'Oven-1' is no device id"),
        (("issue", "device", "bridge"), "'bridge' is no device id"),
        (("issue", "device", "oven-001\n"), "is no device id"),
        (("issue", "device", "oven-1", "--facility", "a/b"), "'a/b' is no facility"),
        (("issue", "service", "oven-001"), "no role for 'oven-001': there are bridge,"),
        (("account", "root"), "no role for 'root': there are bridge, telegraf,"),
        (("renew", "oven-001"), "oven-001 has no certificate, or only revoked ones"),
        (("revoke", "oven-001"), "oven-001 has no certificate: see"),
        (("apply",), "run `egiz-infra account health`"),
    ],
)
def test_a_mistake_is_explained_in_a_sentence(infra, arguments, output):
    assert output in infra(*arguments, code=1)
    assert not infra.certificates("oven-001")


def test_an_error_names_the_directory_without_an_authority(infra_without_authority):
    root = infra_without_authority.layout.root
    for command in (["list"], ["issue", "device", "oven-001"], ["account", "bridge"]):
        output = infra_without_authority(*command, code=1)
        assert str(root) in output


@pytest.mark.parametrize("command", ["metrics", "tls-versions"])
def test_a_report_can_be_read_by_others_whatever_the_umask(infra, tmp_path, command):
    log = ("--log", "true") if command == "tls-versions" else ()
    before = os.umask(0o077)
    try:
        infra(command, *log, "--to", str(tmp_path / "report"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o644


@pytest.mark.parametrize("command", ["metrics", "tls-versions"])
def test_a_report_replaces_neither_a_link_nor_a_pipe(infra, tmp_path, command):
    log = ("--log", "true") if command == "tls-versions" else ()
    pipe, link, broken, file = (tmp_path / n for n in ("pipe", "link", "lost", "file"))
    os.mkfifo(pipe)
    link.symlink_to(file)
    broken.symlink_to(tmp_path / "nowhere")
    file.write_text("old")
    for target in (pipe, link, broken):
        output = infra(command, *log, "--to", str(target), code=1)
        assert f"{target} is a link or no file: name a regular file" in output
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert broken.is_symlink()
    assert not (tmp_path / "nowhere").exists()
    assert file.read_text() == "old"
    infra(command, *log, "--to", str(file))
    assert file.read_text().startswith("# HELP ")


def test_a_link_to_itself_is_a_sentence(infra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    for name in ("loop", "loop2"):
        (tmp_path / name).symlink_to(name)
    save = ("--data", str(data), "--save-broker", "false")
    assert "loop is there already" in infra("backup", "loop", *save, code=1)
    assert "symbolic links" in infra("backup", "loop/x", *save, code=1)
    output = infra("backup", "made", *save, "--data", "loop2", code=1)
    assert "loop2 cannot be read: Too many levels of symbolic links" in output
    output = infra("--directory", "loop", "backup", "made", *save, code=1)
    assert "symbolic links: 'loop/pki/lock'" in output
    assert not (tmp_path / "made").exists()
    assert (tmp_path / "loop").is_symlink()
