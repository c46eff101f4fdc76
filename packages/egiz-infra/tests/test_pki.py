"""`egiz-infra`: what it writes, what it refuses, and the revocation drill."""

import json
import os
import re
import socket
import stat
import subprocess

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from egiz_infra.acl import compile_acl
from egiz_infra.apply import lint
from egiz_infra.authority import Authority, Subject
from egiz_infra.cli import main
from egiz_infra.errors import InfraError, Refused
from egiz_infra.layout import Layout
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from rig.process import require
from rig.waiting import eventually

OVEN = "sensors/factory/oven-001"
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


class Infra:
    """The command, in this process, on a directory of its own."""

    def __init__(self, directory):
        self.layout = Layout(directory / "egiz")

    def __call__(self, *arguments, code=0):
        command = ["--directory", str(self.layout.root), *arguments]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == code, done.output
        assert done.exc_info is None or issubclass(done.exc_info[0], SystemExit)
        return done.output

    def certificates(self, name):
        found = (self.layout.pki / "certificates").glob(f"{name}-*.pem")
        return [x509.load_pem_x509_certificate(path.read_bytes()) for path in found]


@pytest.fixture
def infra(tmp_path):
    made = Infra(tmp_path)
    made("init")
    return made


# Files


def test_keys_and_passwords_are_private_and_never_shown(infra):
    said = infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    said += infra("issue", "device", "oven-001", "mixer-002")
    said += infra("issue", "service", "bridge") + infra("account", "bridge")
    said += infra("renew", "oven-001") + infra("list") + infra("acl")
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
    assert password not in said
    assert password not in (root / "broker/passwd").read_text()
    assert "PRIVATE" not in said
    assert not list(root.rglob("*.new"))


def test_a_new_password_replaces_the_old_one_of_this_account_only(infra):
    infra("account", "bridge")
    infra("account", "health")
    passwd = infra.layout.broker / "passwd"
    before = dict(line.split(":") for line in passwd.read_text().splitlines())
    first = (infra.layout.secrets / "bridge").read_text()
    infra("account", "bridge")
    after = dict(line.split(":") for line in passwd.read_text().splitlines())
    assert (infra.layout.secrets / "bridge").read_text() != first
    assert {name for name in after if after[name] != before[name]} == {"bridge"}
    assert set(after) == {"bridge", "health"}


def test_a_role_may_have_several_accounts(infra):
    infra("account", "bridge2")
    infra("issue", "service", "bridge3")
    blocks = infra("acl").split("\n\n")
    rules = {b.split()[b.split().index("user") + 1]: b for b in blocks if "user " in b}
    for name in ("bridge2", "bridge3"):
        assert rules[name].splitlines()[1:] == rules["bridge"].splitlines()[2:]


def test_a_file_belongs_to_whoever_owns_its_directory(infra):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(infra.layout.broker, 1883, 1884)
    infra("apply", "--files-only")
    for name in ("acl", "ca.pem", "crl.pem"):
        found = (infra.layout.broker / name).stat()
        assert (found.st_uid, found.st_gid) == (1883, 1884)


def test_certificates_are_what_openssl_takes_for_their_purpose(infra):
    infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    infra("issue", "device", "oven-001")
    root = infra.layout.root
    pem = root / "oven.pem"
    (device,) = infra.certificates("oven-001")
    pem.write_bytes(device.public_bytes(serialization.Encoding.PEM))
    made = {"sslserver": root / "broker/broker.pem", "sslclient": pem}
    for purpose, path in made.items():
        for wanted in ("sslserver", "sslclient"):
            command = [
                *("openssl", "verify", "-x509_strict", "-crl_check"),
                *("-CAfile", root / "pki/ca.pem", "-CRLfile", root / "pki/crl.pem"),
                *("-purpose", wanted, path),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) == (wanted == purpose), done.stderr
    (broker,) = infra.certificates("broker.factory")
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {str(one.value) for one in names.value} == {
        *("broker.factory", "10.20.0.5", "localhost", "127.0.0.1")
    }


def test_a_devices_files_are_der_of_one_pair(infra):
    infra("issue", "device", "oven-001", "--facility", "north")
    directory = infra.layout.issued / "oven-001"
    certificate = x509.load_der_x509_certificate(
        (directory / "certificate.der").read_bytes()
    )
    key = serialization.load_der_private_key((directory / "key.der").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert isinstance(key.curve, ec.SECP256R1)
    x509.load_der_x509_certificate((directory / "ca.der").read_bytes())
    assert "topic write sensors/north/oven-001/telemetry" in infra("acl")


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("init",), "there is an authority in"),
        (("issue", "device", "Oven-1"), "'Oven-1' is no device id"),
        (("issue", "device", "bridge"), "'bridge' is no device id"),
        (("issue", "device", "oven-001\n"), "is no device id"),
        (("issue", "device", "oven-1", "--facility", "a/b"), "'a/b' is no facility"),
        (("issue", "service", "oven-001"), "no role for 'oven-001': there are bridge,"),
        (("account", "root"), "no role for 'root': there are bridge, telegraf,"),
        (("renew", "oven-001"), "oven-001 has no certificate that is good"),
        (("revoke", "oven-001"), "oven-001 has no certificate: see"),
        (("apply",), "run `egiz-infra account health`"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(infra, arguments, told):
    assert told in infra(*arguments, code=1)
    assert not infra.certificates("oven-001")


def test_a_directory_without_an_authority_is_told(tmp_path):
    for command in (["list"], ["issue", "device", "oven-001"], ["account", "bridge"]):
        told = Infra(tmp_path)(*command, code=1)
        assert str(tmp_path) in told


# Requests of devices


def _request(path, name="oven-001", key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = built.sign(key, hashes.SHA256())
    path.write_bytes(request.public_bytes(serialization.Encoding.DER))
    return key


def test_a_device_may_make_its_own_key(infra, tmp_path):
    key = _request(tmp_path / "csr")
    infra("sign", "oven-001", str(tmp_path / "csr"))
    (certificate,) = infra.certificates("oven-001")
    assert certificate.public_key() == key.public_key()
    assert not (infra.layout.issued / "oven-001/key.der").exists()
    newer = _request(tmp_path / "csr")
    infra("renew", "oven-001", "--request", str(tmp_path / "csr"))
    one, other = (one.public_key() for one in infra.certificates("oven-001"))
    wanted = (key.public_key(), newer.public_key())
    assert wanted in [(one, other), (other, one)]


@pytest.mark.parametrize("wrong", ["name", "rsa", "p384", "signature", "nonsense"])
def test_a_request_that_is_not_sound_is_refused(infra, tmp_path, wrong):
    path = tmp_path / "csr"
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048) if wrong == "rsa" else None,
        "p384": ec.generate_private_key(ec.SECP384R1()),
    }
    _request(path, "mixer-002" if wrong == "name" else "oven-001", keys.get(wrong))
    if wrong == "signature":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    if wrong == "nonsense":
        path.write_bytes(b"\x30\x03abc")
    told = {
        "name": "is for mixer-002, not for oven-001",
        "rsa": "its key is not P-256",
        "p384": "its key is not P-256",
        "signature": "its signature does not fit its key",
        "nonsense": "is no certificate request",
    }
    assert told[wrong] in infra("sign", "oven-001", str(path), code=1)
    assert not infra.certificates("oven-001")


# Expiry


def test_what_expires_soon_and_is_not_renewed_is_an_exit_code(infra):
    infra("issue", "device", "oven-001", "--days", "10")
    infra("issue", "device", "mixer-002", "--days", "400")
    assert "EXPIRES SOON" in infra("list", code=1)
    infra("list", "--within", "5")
    infra("renew", "oven-001")
    assert "EXPIRES SOON" not in infra("list")
    told = [json.loads(line) for line in infra("list", "--json").splitlines()]
    assert [(one["name"], one["days_left"]) for one in told] == [
        ("mixer-002", 399),
        ("oven-001", 9),
        ("oven-001", 729),
    ]
    assert {one["state"] for one in told} == {"good"}


def test_who_has_only_expired_or_revoked_certificates_is_not_on_the_list(infra):
    infra("issue", "device", "oven-001", "mixer-002")
    assert "user oven-001" in infra("acl")
    Authority(infra.layout).revoke(infra.certificates("oven-001"))
    assert "user oven-001" not in infra("acl")
    assert "user mixer-002" in infra("acl")
    assert re.search(r"^oven-001 .* revoked$", infra("list"), re.MULTILINE)


# Giving it to the broker


def test_a_broken_list_is_found_before_the_broker_gets_it():
    program = require("mosquitto", "apt install mosquitto")
    lint(compile_acl({"oven-001": "factory"}), program)
    for broken in ("topic bla x y", "topic read a/#/b", "usr bridge", "user"):
        with pytest.raises(InfraError, match="does not take the access list: Error"):
            lint(f"user a\ntopic read a\n{broken}\n", program)


def test_without_the_program_that_checks_nothing_is_replaced(infra):
    infra("account", "health")
    before = (infra.layout.broker / "acl").read_text()
    told = infra("apply", "--mosquitto", "/no/such", code=1)
    assert "there is no program '/no/such' to check the access list with" in told
    assert (infra.layout.broker / "acl").read_text() == before


def test_a_device_that_was_issued_is_let_in_by_apply(secure_mosquitto):
    first = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    late = secure_mosquitto.device("mixer-002")
    with Probe(first) as old, Probe(late) as new:
        assert new.publish("sensors/factory/mixer-002/status") == NOT_AUTHORISED
        assert "in force: 2 devices" in secure_mosquitto.infra("apply")
        assert new.publish("sensors/factory/mixer-002/status") != NOT_AUTHORISED
        assert old.publish(f"{OVEN}/status") != NOT_AUTHORISED
    before = secure_mosquitto.account("bridge")
    secure_mosquitto.infra("account", "bridge")
    secure_mosquitto.infra("apply")
    with Probe(secure_mosquitto.account("bridge")):
        pass
    with pytest.raises(Refused), Probe(before):
        pass


def _sabotage(broker, times):
    """A reload that finds a list which cannot be read, as often as said."""
    count = broker.directory / "count"
    script = broker.directory / "reload"
    acl = broker.layout.broker / "acl"
    script.write_text(
        f"echo x >> {count}\n"
        f"[ $(wc -l < {count}) -gt {times} ] || echo nonsense x y >> {acl}\n"
        f"kill -HUP {broker.pid}\n"
    )
    return {"EGIZ_RELOAD": f"sh {script}"}


def test_a_broker_that_fails_open_is_noticed_and_closed_again(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    secure_mosquitto.device("mixer-002")
    done = secure_mosquitto.try_infra("apply", **_sabotage(secure_mosquitto, 1))
    assert "Error: Invalid line in acl_file" in secure_mosquitto.log  # it was open
    assert done.returncode == 1
    assert "allows what the list does not" in done.stderr
    assert "The former access list is in force again" in done.stderr
    with Probe(oven) as probe:
        assert probe.publish(f"{OVEN}/status") != NOT_AUTHORISED
        assert probe.publish(f"{OVEN}/config") == NOT_AUTHORISED
    assert "mixer-002" not in (secure_mosquitto.layout.broker / "acl").read_text()


def test_a_broker_that_stays_open_is_told_of(secure_mosquitto):
    secure_mosquitto.start()
    done = secure_mosquitto.try_infra("apply", **_sabotage(secure_mosquitto, 9))
    assert done.returncode == 1
    assert "stop it: it may be open to everybody" in done.stderr


def test_a_reload_that_fails_is_told(secure_mosquitto):
    secure_mosquitto.start()
    reload = "sh -c 'echo not today >&2; exit 3'"
    done = secure_mosquitto.try_infra("apply", EGIZ_RELOAD=reload)
    assert done.returncode == 1
    assert "not today" in done.stderr
    assert "Traceback" not in done.stderr


def _serial_shown(broker, device):
    plain = socket.create_connection((broker.host, broker.device_port))
    with plain, device.tls.wrap_socket(plain, server_hostname="localhost") as tls:
        shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    return shown.serial_number


def test_a_brokers_new_certificate_is_taken_without_a_restart(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    before = _serial_shown(secure_mosquitto, oven)
    with Probe(oven) as live:
        secure_mosquitto.infra("renew", "localhost")
        assert _serial_shown(secure_mosquitto, oven) == before
        secure_mosquitto.infra("apply")
        eventually(lambda: _serial_shown(secure_mosquitto, oven) != before)
        assert live.publish(f"{OVEN}/status") != NOT_AUTHORISED


# The revocation drill


def test_a_revoked_device_is_out_within_seconds(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    mixer = secure_mosquitto.device("mixer-002")
    secure_mosquitto.start()
    with Probe(oven, keeps_session=True) as live, Probe(mixer) as bystander:
        live.subscribe(f"{OVEN}/command")
        assert live.publish(f"{OVEN}/status") != NOT_AUTHORISED
        told = secure_mosquitto.infra("revoke", "oven-001")
        eventually(lambda: not live.turn())
        assert bystander.publish("sensors/factory/mixer-002/status") != NOT_AUTHORISED
    for login in (oven, Login(oven.host, secure_mosquitto.tls12_port, tls=oven.tls)):
        with pytest.raises(Refused), Probe(login):
            pass
    steps = re.findall(r"^ *([0-9.]+) s  (.+)$", told, re.MULTILINE)
    assert [what for _, what in steps] == [
        "the access list is without it",
        "its certificate is refused",
        "its connection is ended",
    ]
    # It comes back with a new certificate only, and finds nothing of its old session.
    listed = secure_mosquitto.infra("list", "--within", "0")
    assert listed.count("revoked") == 1
    renewed = secure_mosquitto.device("oven-001")
    secure_mosquitto.infra("apply")
    with Probe(renewed, keeps_session=True) as back:
        assert back.publish(f"{OVEN}/status") != NOT_AUTHORISED
        assert not back.session_present
    with pytest.raises(Refused), Probe(oven):
        pass


def test_a_revocation_that_failed_is_finished_by_the_next(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    with Probe(oven) as live:
        done = secure_mosquitto.try_infra("revoke", "oven-001", EGIZ_RELOAD="false")
        assert done.returncode == 1
        assert live.publish(f"{OVEN}/status") != NOT_AUTHORISED
        assert "its connection is ended" in secure_mosquitto.infra("revoke", "oven-001")
        eventually(lambda: not live.turn())
    with pytest.raises(Refused), Probe(oven):
        pass


def test_a_services_revocation_keeps_its_queue(secure_mosquitto):
    pair = secure_mosquitto.pair(Subject("service", "bridge"))
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    tls = secure_mosquitto.context(pair)
    login = Login(oven.host, oven.port, tls=tls)
    with Probe(login, keeps_session=True) as live, Probe(oven) as device:
        live.subscribe("sensors/#")
        secure_mosquitto.infra("revoke", "bridge")
        eventually(lambda: not live.turn())
        device.publish(f"{OVEN}/telemetry", b"queued")
    with pytest.raises(Refused), Probe(login):
        pass
    with Probe(secure_mosquitto.account("bridge"), keeps_session=True) as back:
        assert back.session_present
        eventually(lambda: back.turn() and back.received)
        assert [message.payload for message in back.received] == [b"queued"]


def test_a_broker_is_not_revoked(secure_mosquitto):
    secure_mosquitto.start()
    done = secure_mosquitto.try_infra("revoke", "localhost")
    assert done.returncode == 1
    assert "its clients have no list of what is revoked" in done.stderr
