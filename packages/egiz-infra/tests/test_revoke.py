"""`egiz-infra revoke` on a running Mosquitto: the revocation drill."""

import re

import pytest
from egiz_infra.authority import Subject
from egiz_infra.errors import Refused
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from rig.waiting import eventually

OVEN = "sensors/factory/oven-001"
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


def test_a_revoked_device_is_disconnected_and_refused_within_seconds(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    mixer = secure_mosquitto.device("mixer-002")
    secure_mosquitto.start()
    with Probe(oven, keeps_session=True) as live, Probe(mixer) as other:
        live.subscribe(f"{OVEN}/command")
        assert live.publish(f"{OVEN}/status") != NOT_AUTHORISED
        output = secure_mosquitto.infra("revoke", "oven-001")
        eventually(lambda: not live.turn())
        assert other.publish("sensors/factory/mixer-002/status") != NOT_AUTHORISED
    for login in (oven, Login(oven.host, secure_mosquitto.tls12_port, tls=oven.tls)):
        with pytest.raises(Refused), Probe(login):
            pass
    steps = re.findall(r"^ *([0-9.]+) s  (.+)$", output, re.MULTILINE)
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


def test_a_reload_that_cannot_be_run_revokes_nothing(secure_mosquitto):
    oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.start()
    nowhere = {"EGIZ_RELOAD": "no-such-program -HUP 1"}
    done = secure_mosquitto.try_infra("revoke", "oven-001", **nowhere)
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    listed = secure_mosquitto.infra("list", "--within", "0")
    assert "revoked" not in listed
    with Probe(oven):
        pass


def test_the_revocation_of_a_service_keeps_its_queue(secure_mosquitto):
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


def test_a_broker_cannot_be_revoked(secure_mosquitto):
    secure_mosquitto.start()
    done = secure_mosquitto.try_infra("revoke", "localhost")
    assert done.returncode == 1
    assert "its clients have no list of what is revoked" in done.stderr
