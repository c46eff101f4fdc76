"""SIGKILL before each change of a file: the same command again finishes it."""

import base64
import hashlib
import json
import os
import shutil
import signal
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from egiz_infra.authority import Authority
from egiz_infra.register import issued

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _is_change(event, arguments, root):
    is_write = event == "open" and arguments[2] & _WRITES
    return (is_write or event in _CHANGES) and str(arguments[0]).startswith(root)


def _killed(infra, command, step):
    """Run it in a process that is killed before its change of that number.

    Returns whether it was: it may have been over before.
    """
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event, arguments):
            if _is_change(event, arguments, str(infra.layout.root)):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            infra(*command)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _loaded(path):
    """The public key of a key or a certificate; None if there is no such file."""
    if not path.exists():
        return None
    content = path.read_bytes()
    if "key" in path.name:
        is_der = path.suffix == ".der"
        load = serialization.load_der_private_key
        load = load if is_der else serialization.load_pem_private_key
        return load(content, None).public_key()
    load = x509.load_pem_x509_certificate
    load = load if path.suffix == ".pem" else x509.load_der_x509_certificate
    return load(content).public_key()


def _check_pairs(infra):
    """Keys fit certificates, hashes fit passwords, and all of it is in the register."""
    layout = infra.layout
    pairs = [(layout.broker / "broker.key", layout.broker / "broker.pem")]
    for directory in layout.issued.iterdir():
        ending = "der" if (directory / "certificate.der").exists() else "pem"
        found = (directory / f"{name}.{ending}" for name in ("key", "certificate"))
        pairs.append(tuple(found))
    known = [one.certificate.public_key() for one in issued(Authority(layout))]
    for key, certificate in (map(_loaded, pair) for pair in pairs):
        assert key in (None, certificate)
        assert certificate is None or certificate in known
    for line in _lines(layout.broker / "passwd"):
        name, _, hashed = line.partition(":")
        password = (layout.secrets / name).read_bytes()
        _, _, rounds, salt, digest = hashed.split("$")
        salt = base64.b64decode(salt)
        made = hashlib.pbkdf2_hmac("sha512", password, salt, int(rounds))
        assert made == base64.b64decode(digest), name


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def _request(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "oven-001")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    made = built.sign(key, hashes.SHA256())
    path.write_bytes(made.public_bytes(serialization.Encoding.DER))


@pytest.fixture
def prepared(infra, tmp_path):
    """An authority with one of each kind; {settings} and {request} are files."""
    files = {"settings": tmp_path / "shared.json", "request": tmp_path / "csr"}
    shared = {"broker": "b", "wifi_ssid": "w", "wifi_password": "12345678"}
    files["settings"].write_text(json.dumps(shared))
    _request(files["request"])
    infra("issue", "broker", "broker.factory")
    infra("issue", "service", "telegraf")
    infra("issue", "device", "oven-001", "--settings", str(files["settings"]))
    infra("account", "bridge")
    infra("account", "Node.RED", "--role", "operator")
    return infra, files


@pytest.mark.parametrize(
    "command",
    [
        "issue broker broker.factory --address 10.20.0.5",
        "issue device oven-001 --facility south --settings {settings}",
        "sign oven-001 {request} --facility south",
        "account bridge",
        "account Node.RED --remove",
        "rollover start --name Second",
        "rollover finish --leave",
    ],
)
def test_a_command_that_was_killed_is_finished_by_the_same_command(
    prepared, tmp_path, command
):
    infra, files = prepared
    if "finish" in command:
        infra("rollover", "start", "--name", "Second")
    words = command.format(**files).split()
    copy = type(infra)(tmp_path / "copy")
    for step in range(1, 60):
        shutil.rmtree(copy.layout.root, ignore_errors=True)
        shutil.copytree(infra.layout.root, copy.layout.root)
        was_killed = _killed(copy, words, step)
        if was_killed:
            copy(*words)
        _check_pairs(copy)
        _check_result(copy, command)
        if not was_killed:
            break
    assert step > 4


def _check_result(infra, command):
    root = infra.layout.root
    if "south" in command:
        assert "topic write sensors/south/oven-001/telemetry" in infra("acl")
        own = root / "issued/oven-001/settings.json"
        assert own.exists() == ("--settings" in command)
        assert not own.exists() or json.loads(own.read_text())["facility"] == "south"
        assert (root / "issued/oven-001/key.der").exists() == ("sign" not in command)
    if "--remove" in command:
        assert "Node.RED" not in infra("acl")
        assert not (root / "secrets/Node.RED").exists()
    if "rollover" in command:
        trusted = (root / "broker/ca.pem").read_text().count("BEGIN CERT")
        assert trusted == (1 if "finish" in command else 2)
        shown = (root / "broker/broker.pem").read_text().count("BEGIN CERT")
        assert shown == trusted
    staged = [path.name for path in root.rglob(".*") if path.name.endswith(".new")]
    assert staged == []


def test_an_init_that_was_killed_is_finished_by_the_same_command(
    infra_without_authority, tmp_path
):
    for step in range(1, 40):
        infra = type(infra_without_authority)(tmp_path / str(step))
        if not _killed(infra, ["init"], step):
            break
        infra("init")
        assert "there is an authority in" in infra("init", code=1)
        infra("issue", "broker", "broker.factory")
        assert "user bridge" in (infra.layout.broker / "acl").read_text()
        assert infra.layout.broker.stat().st_mode & 0o777 == 0o750
    assert step > 6


def test_another_command_finishes_the_pair_of_the_broker(prepared, tmp_path):
    """Killed between the two: the broker may start before a person sees it."""
    infra, _ = prepared
    before = (infra.layout.broker / "broker.key").read_bytes()
    for step in range(1, 60):
        copy = type(infra)(tmp_path / str(step))
        shutil.copytree(infra.layout.root, copy.layout.root)
        assert _killed(copy, ["renew", "broker.factory"], step)
        key, certificate = (copy.layout.broker / f"broker.{x}" for x in ("key", "pem"))
        if _loaded(key) != _loaded(certificate):
            break
    copy("apply", "--files-only")
    assert _loaded(key) == _loaded(certificate)
    assert key.read_bytes() != before
