"""`egiz-infra apply` on a running Mosquitto."""

import os
import pwd
import shutil
import socket
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from egiz_infra.acl import compile_acl
from egiz_infra.apply import apply, broker_certificate, lint
from egiz_infra.authority import Subject, create
from egiz_infra.building import new_key, pem_of, pem_of_key
from egiz_infra.errors import InfraError, Refused
from egiz_infra.layout import Layout
from egiz_infra.probe import NOT_AUTHORISED, Probe
from egiz_infra.running import Running
from egiz_infra.witness import revoked_context
from rig.process import free_port, require
from rig.secure import SecureMosquitto, WithoutTls12
from rig.servers import Mosquitto, ends_without_a_list
from rig.waiting import eventually

OVEN = "sensors/factory/oven-001"
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


def test_a_broken_access_list_is_found_before_the_broker_gets_it():
    program = require("mosquitto", "apt install mosquitto")
    lint(compile_acl({"oven-001": "factory"}), program)
    for broken in ("topic bla x y", "topic read a/#/b", "usr bridge", "user"):
        with pytest.raises(InfraError, match="does not accept the access list: Error"):
            lint(f"user a\ntopic read a\n{broken}\n", program)


def test_without_a_program_that_checks_it_the_list_is_not_replaced(infra):
    infra("account", "health")
    before = (infra.layout.broker / "acl").read_text()
    output = infra("apply", "--mosquitto", "/no/such", code=1)
    assert "there is no program '/no/such' to check the access list with" in output
    assert (infra.layout.broker / "acl").read_text() == before


def test_apply_gives_an_issued_device_its_rights(secure_mosquitto):
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


def test_a_broker_that_does_not_run_reads_the_files_when_it_starts(secure_mosquitto):
    old = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    secure_mosquitto.stop()
    late = secure_mosquitto.device("mixer-002")
    for command in (["apply"], ["revoke", "oven-001"]):
        done = secure_mosquitto.try_infra(*command)
        assert done.returncode == 1
        assert "The broker does not run: its files are written" in done.stderr
        assert "it may be open" not in done.stderr
    Mosquitto.start(secure_mosquitto)  # with the files as they are
    with Probe(late) as probe:
        code = probe.publish("sensors/factory/mixer-002/status")
        assert code != NOT_AUTHORISED
    with pytest.raises(Refused), Probe(old):
        pass
    assert "in force: 1 devices" in secure_mosquitto.infra("apply")


def _sabotage(broker, times):
    """A reload that finds a list which cannot be read, `times` times."""
    count = broker.directory / "count"
    script = broker.directory / "reload"
    acl = broker.layout.broker / "acl"
    script.write_text(
        f"echo x >> {count}\n"
        f"[ $(wc -l < {count}) -gt {times} ] || echo nonsense x y >> {acl}\n"
        f"kill -HUP {broker.pid}\n"
    )
    return {"EGIZ_RELOAD": f"sh {script}"}


def test_a_broker_that_fails_open_is_detected_and_closed_again(secure_mosquitto):
    if ends_without_a_list():
        pytest.skip("Mosquitto 2.1 is never open: see tests/engines/test_mosquitto.py")
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


def test_a_link_in_place_of_the_access_list_is_not_restored(secure_mosquitto):
    secure_mosquitto.start()
    acl = secure_mosquitto.layout.broker / "acl"
    acl.unlink()
    acl.symlink_to("../pki/ca.key")
    done = secure_mosquitto.try_infra("apply", **_sabotage(secure_mosquitto, 1))
    assert done.returncode == 1
    assert not acl.is_symlink()
    assert "PRIVATE KEY" not in acl.read_text()


def test_a_broker_that_stays_open_or_ends_is_reported(secure_mosquitto):
    secure_mosquitto.start()
    done = secure_mosquitto.try_infra("apply", **_sabotage(secure_mosquitto, 9))
    assert done.returncode == 1
    if ends_without_a_list():
        assert "the broker does not run. Start it: it reads that list" in done.stderr
    else:
        assert "Stop the broker: it may be open to everybody" in done.stderr


def test_a_reload_that_fails_is_reported(secure_mosquitto):
    secure_mosquitto.start()
    reload = "sh -c 'echo not today >&2; exit 3'"
    done = secure_mosquitto.try_infra("apply", EGIZ_RELOAD=reload)
    assert done.returncode == 1
    assert "not today" in done.stderr
    assert "The former access list is in force again" in done.stderr
    assert "may be open" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("reload", "reason"),
    [
        ("no-such-program -HUP 1", "there is no program 'no-such-program' here"),
        ("/nowhere/kill -HUP 1", "there is no program '/nowhere/kill' here"),
        (" ", "there is no program '' here"),
        ("sh -c 'exit", "No closing quotation"),
    ],
)
def test_a_reload_that_cannot_be_run_changes_nothing(secure_mosquitto, reload, reason):
    secure_mosquitto.start()
    path = secure_mosquitto.layout.broker / "acl"
    before = path.read_text()
    secure_mosquitto.device("mixer-002")
    done = secure_mosquitto.try_infra("apply", EGIZ_RELOAD=reload)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert "may be open" not in done.stderr
    assert path.read_text() == before


class OwnUser(SecureMosquitto):
    """Started by root, it becomes the user `mosquitto`."""

    def __init__(self, directory):
        super().__init__(directory)
        rig = directory / "conf.d/rig.conf"
        rig.write_text(rig.read_text().replace("user root", "user mosquitto"))


def _serial_of_broker(broker, device):
    plain = socket.create_connection((broker.host, broker.device_port))
    with plain, device.tls.wrap_socket(plain, server_hostname="localhost") as tls:
        shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    return shown.serial_number


def test_apply_loads_a_new_broker_certificate_without_a_restart(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    before = _serial_of_broker(secure_mosquitto, oven)
    with Probe(oven) as live:
        secure_mosquitto.infra("renew", "localhost")
        assert _serial_of_broker(secure_mosquitto, oven) == before
        secure_mosquitto.infra("apply")
        eventually(lambda: _serial_of_broker(secure_mosquitto, oven) != before)
        assert live.publish(f"{OVEN}/status") != NOT_AUTHORISED


def _damage(broker, how):
    pem, key = broker.layout.broker / "broker.pem", broker.layout.broker / "broker.key"
    if how == "truncated":
        pem.write_text("half a certificate")
    if how == "missing":
        pem.unlink()
    if how == "key of another":
        key.write_bytes(pem_of_key(new_key()))
    if how == "expired":
        pair = new_key()
        subject = Subject("broker", "localhost")
        past = timedelta(minutes=-30)
        certificate = broker.authority.sign(subject, pair.public_key(), past)
        pem.write_bytes(pem_of(certificate))
        key.write_bytes(pem_of_key(pair))
    if how == "authority of another":
        other = create(Layout(broker.directory / "other"), "Other")
        pair = new_key()
        subject = Subject("broker", "localhost")
        certificate = other.sign(subject, pair.public_key(), timedelta(1))
        pem.write_bytes(pem_of(certificate))
        key.write_bytes(pem_of_key(pair))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "is missing or damaged"),
        ("missing", "is missing or damaged"),
        ("key of another", "is not the key of broker.pem"),
        ("expired", "has expired"),
        ("authority of another", "was not issued by this authority"),
    ],
)
def test_apply_refuses_a_broker_certificate_that_would_lock_devices_out(
    secure_mosquitto, how, message
):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    before = (secure_mosquitto.layout.broker / "acl").read_text()
    _damage(secure_mosquitto, how)
    done = secure_mosquitto.try_infra("apply")
    assert done.returncode == 1
    assert message in done.stderr
    assert "egiz-infra issue broker" in done.stderr
    # Nothing was replaced or reloaded: devices still connect.
    assert (secure_mosquitto.layout.broker / "acl").read_text() == before
    with Probe(oven):
        pass


def test_apply_reports_a_listener_for_devices_that_accepts_no_certificate(
    secure_mosquitto,
):
    secure_mosquitto.start()
    nowhere = f"localhost:{free_port()}"
    for setting, listener in [
        ("EGIZ_DEVICES", "the listener for devices"),
        ("EGIZ_DEVICES_TLS12", "the listener for devices with TLS 1.2"),
    ]:
        done = secure_mosquitto.try_infra("apply", **{setting: nowhere})
        assert (done.returncode, done.stdout) == (1, "")
        for kind in ("device", "service"):
            problem = f"{listener} does not accept the certificate of a {kind}"
            assert f"{problem}: {nowhere}" in done.stderr
        # The other one works, and is not named.
        assert done.stderr.count("does not accept") == 2


@pytest.fixture
def without_tls12(tmp_path):
    """A broker with TLS 1.3 only, on one port."""
    broker = WithoutTls12(tmp_path / "secure")
    broker.start()
    yield broker
    broker.kill()


def test_apply_with_tls_1_2_on_names_each_listener_that_refuses_it(without_tls12):
    one = f"localhost:{without_tls12.device_port}"
    done = without_tls12.try_infra("apply", EGIZ_DEVICES_TLS12=one)
    assert (done.returncode, done.stdout) == (1, "")
    for listener in ("devices", "devices with TLS 1.2"):
        assert f"the listener for {listener} does not accept TLS 1.2: " in done.stderr
    # It works with TLS 1.3, and a certificate is not what is wrong.
    assert "does not accept the certificate" not in done.stderr
    done = without_tls12.try_infra("apply", EGIZ_DEVICES_TLS12="off")
    assert (done.returncode, done.stdout) == (0, "in force: 0 devices\n"), done.stderr


def test_apply_with_tls_1_2_off_names_a_listener_that_accepts_it(secure_mosquitto):
    secure_mosquitto.start()
    done = secure_mosquitto.try_infra("apply", EGIZ_DEVICES_TLS12="off")
    assert (done.returncode, done.stdout) == (1, "")
    at = f"{secure_mosquitto.host}:{secure_mosquitto.device_port}"
    assert f"the listener for devices, {at}, accepts TLS 1.2" in done.stderr
    assert "put no-tls12.conf in place of tls12.conf" in done.stderr
    assert "in force: 0 devices" in secure_mosquitto.infra("apply")


def test_a_listener_that_is_silent_refuses_nothing(secure_mosquitto, monkeypatch):
    """What is slow to answer has not shown that it refuses what is revoked."""
    monkeypatch.setattr("egiz_infra.probe._TIMEOUT_S", 0.1)
    authority = secure_mosquitto.authority
    with socket.create_server(("localhost", 0)) as silent:
        at = silent.getsockname()[:2]
        running = Running(authority.layout, "true", at, at, "")
        with pytest.raises(InfraError, match="does not answer a certificate that is r"):
            running.check_devices(
                authority, broker_certificate(authority), revoked_context(authority)
            )


@pytest.fixture
def of_another_user():
    """A broker that is a user of its own, as on a real machine."""
    if os.geteuid() != 0:
        pytest.skip("only root can read what the broker cannot")
    user = pwd.getpwnam("mosquitto")
    # pytest's own directory is closed to other users.
    with tempfile.TemporaryDirectory(prefix="egiz-test-") as name:
        Path(name).chmod(0o755)
        broker = OwnUser(Path(name) / "secure")
        broker.layout.root.chmod(0o755)
        files = broker.layout.broker
        own = (broker.directory, broker.directory / "conf.d", files, *files.iterdir())
        for path in own:
            os.chown(path, user.pw_uid, user.pw_gid)
        broker.start()
        yield broker
        broker.kill()


@pytest.mark.parametrize("name", ["broker.key", "broker.pem", "crl.pem"])
def test_apply_reports_a_file_that_the_broker_cannot_read(of_another_user, name):
    broker = of_another_user
    path = broker.layout.broker / name
    assert "in force" in broker.infra("apply")
    # The list of what is revoked is written by apply: it loses its owner after that.
    script = broker.directory / "reload"
    script.write_text(f"chown 0:0 {path}; chmod 600 {path}; kill -HUP {broker.pid}")
    done = broker.try_infra("apply", EGIZ_RELOAD=f"sh {script}")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr


def test_apply_reports_a_broker_that_still_serves_its_old_certificate(secure_mosquitto):
    secure_mosquitto.start()
    files = secure_mosquitto.layout.broker
    script = secure_mosquitto.directory / "reload"
    script.write_text(
        f"cd {files}; mkdir new; cp broker.* new; cp old/* .\n"
        f"kill -HUP {secure_mosquitto.pid}; sleep 1; cp new/* .\n"
    )
    (files / "old").mkdir()
    for name in ("broker.pem", "broker.key"):
        shutil.copy(files / name, files / "old")
    secure_mosquitto.infra("renew", "localhost")
    done = secure_mosquitto.try_infra("apply", EGIZ_RELOAD=f"sh {script}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "serves another certificate than broker.pem" in done.stderr


@pytest.fixture
def hanging(tmp_path):
    """A program that hangs, with another one that has its output; ends both."""
    pids = tmp_path / "pids"
    script = tmp_path / "hangs"
    script.write_text(
        f"#!/bin/sh\necho $$ >{pids}\nsleep 1000 &\necho $! >>{pids}\nwait\n"
    )
    script.chmod(0o755)

    def is_over():
        running = [int(pid) for pid in pids.read_text().split()]
        return not [pid for pid in running if Path(f"/proc/{pid}/exe").exists()]

    return str(script), is_over


def test_a_checker_that_hangs_does_not_hold_the_lock(infra, hanging, monkeypatch):
    monkeypatch.setattr("egiz_infra.apply._CHECKED_WITHIN_S", 0.5)
    program, is_over = hanging
    infra("account", "health")
    infra("issue", "broker", "localhost")
    before = (infra.layout.broker / "acl").read_text()
    output = infra("apply", "--reload", "true", "--mosquitto", program, code=1)
    assert "cannot check the access list: it has not answered within 0 s" in output
    assert "skip the check with --mosquitto ''" in output
    assert (infra.layout.broker / "acl").read_text() == before
    eventually(is_over)
    infra("account", "bridge")  # the lock is free


def test_a_reload_that_hangs_leaves_the_former_list_in_force(
    secure_mosquitto, hanging, monkeypatch
):
    monkeypatch.setattr("egiz_infra.running._ENDS_WITHIN_S", 0.5)
    program, is_over = hanging
    broker = secure_mosquitto
    broker.start()
    at = ((broker.host, port) for port in (broker.port, broker.device_port))
    running = Running(broker.layout, program, *at, "")
    with pytest.raises(
        InfraError, match=r"it has not ended within 0 s.*in force again"
    ):
        apply(broker.authority, running)
    eventually(is_over)
