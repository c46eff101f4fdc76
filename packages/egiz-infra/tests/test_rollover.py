"""The authority is replaced while everybody stays connected."""

import os
import shutil
import socket
import ssl
from datetime import datetime, timedelta

import pytest
from egiz_infra import apply, building, register, rollover
from egiz_infra import authority as authority_module
from egiz_infra.apply import write_files
from egiz_infra.authority import Authority, Subject
from egiz_infra.errors import Refused
from egiz_infra.layout import Layout
from egiz_infra.probe import Login, Probe
from rig.device import Device
from rig.waiting import eventually


class _Client:
    """What a device or a service was given, at that time: it trusts one authority."""

    def __init__(self, broker, kind, name):
        subject = Subject(kind, name, "factory" if kind == "device" else "")
        broker.authority = Authority(broker.layout)
        context = ssl.create_default_context(cadata=broker.authority.pem.decode())
        context.load_cert_chain(broker.pair(subject))
        self._ports = (broker.device_port, broker.tls12_port)
        self._context = context
        self._host = broker.host

    def connects(self):
        """Whether the broker accepts it, by TLS 1.3 and by 1.2."""
        answers = {self._connects_to(port) for port in self._ports}
        assert len(answers) == 1
        return answers.pop()

    def _connects_to(self, port):
        try:
            with socket.create_connection((self._host, port)) as raw:
                self._context.wrap_socket(raw, server_hostname=self._host).close()
            Probe(Login(self._host, port, tls=self._context)).close()
        except (ssl.SSLCertVerificationError, Refused):
            return False
        return True


@pytest.fixture
def broker(secure_mosquitto):
    secure_mosquitto.start()
    return secure_mosquitto


def _restart(broker):
    """As the commands say: the broker reads whom it trusts only when it starts."""
    broker.stop()
    super(type(broker), broker).start()
    broker.infra("apply")


def test_devices_of_both_authorities_are_accepted_until_the_roll_over_is_finished(
    broker,
):
    old = _Client(broker, "device", "oven-001")
    service = _Client(broker, "service", "telegraf")
    broker.infra("apply")
    assert old.connects()
    assert service.connects()
    output = broker.infra("rollover", "start", "--name", "Second")
    assert "Second: made; 2 certificates are of the former one" in output
    _restart(broker)
    assert old.connects()
    assert service.connects()
    # One device is moved, and another one is new.
    moved, new = (_Client(broker, "device", n) for n in ("oven-001", "mixer-002"))
    broker.infra("apply")
    assert [one.connects() for one in (old, moved, new, service)] == [True] * 4
    assert "of the former authority Test" in broker.try_infra("list").stdout
    done = broker.try_infra("rollover", "finish")
    assert done.returncode == 1
    assert "not moved yet: telegraf" in done.stderr
    later = _Client(broker, "service", "telegraf")
    broker.infra("rollover", "finish")
    _restart(broker)
    assert [one.connects() for one in (moved, new, later)] == [True] * 3
    assert [one.connects() for one in (old, service)] == [False] * 2


@pytest.fixture
def flashed(micropython, hardware, tmp_path, broker):
    """Start the firmware with the files that were issued, until the broker has it."""
    del micropython
    running = []

    def flash(name):
        broker.infra("issue", "device", "oven-001")
        broker.infra("apply")
        shutil.copytree(broker.layout.issued / "oven-001", tmp_path / name)

    def connects(name):
        files = {"ca": "ca.der", "cert": "certificate.der", "key": "key.der"}
        tls = {key: str(tmp_path / name / file) for key, file in files.items()}
        (tmp_path / f"{name}-flash").mkdir(exist_ok=True)
        there = " as oven-001 "
        seen = broker.log.count(there)
        at = ("localhost", broker.tls12_port)
        device = Device(at, tmp_path / f"{name}-flash", hardware, tls=tls)
        running.append(device)
        # What it says may also be that the broker was slow: then it tries again.
        eventually(lambda: broker.log.count(there) > seen or refuses(device), 60)
        device.kill()
        return broker.log.count(there) > seen

    def refuses(device):
        return any("not correctly signed" in line for line in device.output)

    yield flash, connects
    for device in running:
        if device.is_running():
            device.kill()


def test_the_firmware_is_moved_on_any_day_of_a_roll_over(broker, flashed):
    """Real MicroPython, with nothing but the three files that were issued to it."""
    flash, connects = flashed
    flash("before")
    assert connects("before")
    broker.infra("rollover", "start", "--name", "Second")
    _restart(broker)
    assert connects("before")
    flash("after")
    assert connects("after")
    assert connects("before")
    broker.infra("rollover", "finish")
    _restart(broker)
    assert connects("after")
    assert not connects("before")


def test_what_the_former_authority_issued_is_revoked_during_a_roll_over(broker):
    old = _Client(broker, "device", "oven-001")
    other = _Client(broker, "device", "mixer-002")
    broker.infra("rollover", "start", "--name", "Second")
    _restart(broker)
    assert old.connects()
    broker.infra("revoke", "oven-001")
    assert not old.connects()
    assert other.connects()


def _pki(layout):
    return {
        path.relative_to(layout.pki): path.read_bytes()
        for path in layout.pki.rglob("*")
        if path.is_file() and not {"certificates", "lock"} & {*path.parts}
    }


def test_an_interrupted_start_leaves_one_sound_authority_and_is_completed(
    infra, monkeypatch
):
    """The machine loses power at each step that changes a file, in turn."""
    infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    infra("issue", "device", "oven-001")
    before = _pki(infra.layout)
    real = Layout.pki.fget
    done = 0
    for step in range(1, 40):
        calls = 0

        def pki(layout, step=step):
            nonlocal calls
            calls += 1
            if calls == step:
                raise KeyboardInterrupt
            return real(layout)

        with monkeypatch.context() as patched:
            patched.setattr(Layout, "pki", property(pki))
            try:
                rollover.start(infra.layout, "Second", timedelta(730))
            except KeyboardInterrupt:
                continue
        done = step
        break
    assert done > 5
    assert _pki(infra.layout) != before
    authority = Authority(infra.layout)
    assert (authority.name, authority.former.name) == ("Second", "OpenEgiz")
    assert (real(infra.layout) / "former/ca.key").read_bytes() == before[
        next(path for path in before if path.name == "ca.key")
    ]
    assert {"broker.factory", "10.20.0.5"} <= infra.broker_names()
    write_files(authority)
    infra("renew", "oven-001")
    infra("rollover", "finish")
    assert not (infra.layout.pki / "former").exists()


@pytest.mark.parametrize("moved", ["ca.pem", "ca.key", "crl.pem", "former"])
def test_half_a_switch_is_refused_by_every_command_but_start(infra, moved):
    infra("issue", "broker", "broker.factory")
    rollover.prepare(Authority(infra.layout), "Second")
    (infra.layout.pki / "next" / moved).rename(infra.layout.pki / moved)
    for command in (["list"], ["issue", "device", "oven-001"], ["acl"]):
        assert "run `egiz-infra rollover start` again" in infra(*command, code=1)
    infra("rollover", "start", "--name", "Second")
    assert Authority(infra.layout).former.name == "OpenEgiz"
    infra("issue", "device", "oven-001")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("finish",), "there is no roll-over"),
        (("start", "--name", "OpenEgiz"), "the name OpenEgiz already"),
    ],
)
def test_a_mistake_is_explained_and_changes_nothing(infra, arguments, output):
    before = _pki(infra.layout)
    assert output in infra("rollover", *arguments, code=1)
    assert _pki(infra.layout) == before


def test_the_broker_keeps_the_name_that_it_shows_not_one_that_it_had(infra):
    infra("issue", "broker", "z.former.factory")
    infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    infra("rollover", "start", "--name", "Second")
    assert {"broker.factory", "10.20.0.5"} <= infra.broker_names()
    assert "z.former.factory" not in infra.broker_names()
    infra("rollover", "finish")


def test_a_second_start_is_refused_before_the_first_is_finished(infra):
    infra("rollover", "start", "--name", "Second")
    before = _pki(infra.layout)
    assert "is not finished" in infra("rollover", "start", "--name", "Third", code=1)
    assert _pki(infra.layout) == before


def test_the_metrics_say_how_many_are_not_moved(infra):
    infra("issue", "broker", "broker.factory")
    infra("issue", "device", "oven-001", "mixer-002")
    metric = "egiz_certificates_of_former_authority"
    assert f"\n{metric} 0\n" in infra("metrics")
    infra("rollover", "start", "--name", "Second")
    assert f"\n{metric} 2\n" in infra("metrics")
    infra("renew", "oven-001")
    assert f"\n{metric} 1\n" in infra("metrics")
    infra("rollover", "finish", "--leave")
    assert f"\n{metric} 0\n" in infra("metrics")


@pytest.fixture
def years_later(infra, monkeypatch):
    """Go to a day on which the first authority has expired; it is for one day."""
    monkeypatch.setattr(authority_module, "AUTHORITY_DAYS", 1)
    shutil.rmtree(infra.layout.root)
    infra("init")
    monkeypatch.undo()

    def go():
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(2)

        for module in (authority_module, building, register, apply):
            monkeypatch.setattr(module, "datetime", Later)

    return go


def test_a_former_authority_that_has_expired_stops_no_revocation(infra, years_later):
    infra("issue", "broker", "broker.factory")
    infra("rollover", "start", "--name", "Second")
    infra("issue", "device", "oven-001", "mixer-002")
    years_later()
    authority = Authority(infra.layout)
    (revoked,) = infra.certificates("oven-001")
    authority.revoke([revoked])
    found = Authority(infra.layout)
    assert found.is_revoked(revoked)
    assert not found.is_revoked(*infra.certificates("mixer-002"))
    infra("apply", "--files-only")
    infra("rollover", "finish")


def test_no_roll_over_from_an_authority_that_has_expired_is_begun(infra, years_later):
    years_later()
    before = _pki(infra.layout)
    output = infra("rollover", "start", "--name", "Second", code=1)
    assert "OpenEgiz has expired, and no device trusts what it signs" in output
    assert not (infra.layout.pki / "next").exists()
    assert {p: c for p, c in _pki(infra.layout).items() if p in before} == before


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_finish_that_is_killed_leaves_an_authority_that_works(
    infra, monkeypatch, left
):
    """Killed when it has deleted so many files of the former authority."""
    infra("issue", "broker", "broker.factory")
    infra("rollover", "start", "--name", "Second")
    real = os.unlink
    deleted = 0

    def unlink(path, **options):
        nonlocal deleted
        if str(path) in {"ca.pem", "ca.key", "crl.pem"}:
            if deleted == left:
                raise KeyboardInterrupt
            deleted += 1
        real(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        rollover.finish(infra.layout, leave=False)
    monkeypatch.undo()
    infra("issue", "device", "oven-001")
    infra("apply", "--files-only")
    trusted = (infra.layout.broker / "ca.pem").read_bytes()
    assert trusted == (infra.layout.pki / "ca.pem").read_bytes()
    infra("rollover", "start", "--name", "Third")
    infra("renew", "oven-001")
    infra("rollover", "finish")
    assert [path.name for path in infra.layout.pki.glob(".*")] == []
