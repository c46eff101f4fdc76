"""Expiry: a metric of each certificate, and a way back for what has expired."""

import errno
import os
import re
import time
from datetime import timedelta

import pytest
from egiz_infra.authority import Authority, Subject
from egiz_infra.building import new_key
from prometheus_client.parser import text_string_to_metric_families

DAY_S = 86_400


def _expiries(text):
    """The expiry of each certificate, in days from now, by name."""
    families = {one.name: one for one in text_string_to_metric_families(text)}
    checked = families["egiz_certificates_checked_timestamp_seconds"].samples
    assert time.time() - 60 < checked[0].value <= time.time() + 1
    found = families["egiz_certificate_expiry_timestamp_seconds"].samples
    days = {
        one.labels["certificate"]: round((one.value - time.time()) / DAY_S)
        for one in found
    }
    assert len(days) == len(found)
    return days


def _expired(infra, kind, name, facility=""):
    """A certificate that was valid for an hour before now, to the minute."""
    key = new_key().public_key()
    valid_for = timedelta(minutes=-1)
    Authority(infra.layout).issue(Subject(kind, name, facility), key, valid_for)


def test_a_metric_says_when_each_certificate_expires(infra):
    infra("issue", "broker", "broker.factory", "--days", "30")
    infra("issue", "service", "telegraf", "--days", "20")
    infra("issue", "device", "oven-001", "mixer-002", "--days", "10")
    infra("renew", "oven-001", "--days", "700")
    assert _expiries(infra("metrics")) == {
        "OpenEgiz": 3650,
        "broker.factory": 30,
        "telegraf": 20,
        "mixer-002": 10,
        "oven-001": 700,
    }
    assert 'certificate="oven-001",kind="device",facility="factory"' in infra("metrics")


def test_what_has_expired_stays_in_the_metrics_and_what_is_revoked_leaves(infra):
    _expired(infra, "device", "oven-001", "factory")
    infra("issue", "device", "mixer-002")
    Authority(infra.layout).revoke(infra.certificates("mixer-002"))
    assert _expiries(infra("metrics")) == {"OpenEgiz": 3650, "oven-001": 0}


def test_the_file_for_node_exporter_is_replaced_and_can_be_read_by_its_user(
    infra, tmp_path
):
    target = tmp_path / "egiz.prom"
    target.write_text("half a li")
    infra("metrics", "--to", str(target))
    assert _expiries(target.read_text()) == {"OpenEgiz": 3650}
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["egiz.prom"]


def test_the_file_is_written_where_a_sandbox_refuses_to_give_files_away(
    infra, tmp_path, monkeypatch
):
    """SystemCallFilter=~@privileged of hardening.conf, which the timer's unit has."""

    def refused(*_arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refused)
    target = tmp_path / "egiz.prom"
    infra("metrics", "--to", str(target))
    assert _expiries(target.read_text()) == {"OpenEgiz": 3650}


def test_a_name_with_a_quote_is_escaped(infra_without_authority):
    infra_without_authority("init", "--name", 'The "old" \\ one')
    assert _expiries(infra_without_authority("metrics")) == {'The "old" \\ one': 3650}


def test_a_damaged_certificate_fails_and_leaves_the_file_as_it_was(infra, tmp_path):
    """Its age then says that nothing is watched."""
    target = tmp_path / "egiz.prom"
    target.write_text("before")
    (infra.layout.pki / "certificates").mkdir(exist_ok=True)
    (infra.layout.pki / "certificates/oven-001-1.pem").write_text("half a certificate")
    assert "is not a certificate" in infra("metrics", "--to", str(target), code=1)
    assert target.read_text() == "before"


def _listed(infra):
    """Name, kind, facility and state of each, in a line."""
    lines = (re.split(r" \d{4}-", line) for line in infra("list").splitlines())
    return [" ".join([*start.split(), end.split()[-1]]) for start, end in lines]


@pytest.mark.parametrize(
    ("kind", "name", "facility"),
    [("device", "oven-001", "north"), ("service", "telegraf", "")],
)
def test_what_has_expired_is_renewed_with_the_same_name_and_place(
    infra, kind, name, facility
):
    _expired(infra, kind, name, facility)
    assert re.search(rf"^{name} .* expired$", infra("list"), re.MULTILINE)
    infra("renew", name)
    assert re.search(
        rf"^{name} +{kind} +{facility} .* good$", infra("list"), re.MULTILINE
    )
    if kind == "device":
        assert "topic write sensors/north/oven-001/telemetry" in infra("acl")


def test_a_broker_that_has_expired_is_renewed_with_its_addresses(infra):
    infra("issue", "broker", "broker.factory", "--address", "10.20.0.5")
    (good,) = infra.certificates("broker.factory")
    names = ("broker.factory", "10.20.0.5")
    subject = Subject("broker", "broker.factory", addresses=names)
    authority = Authority(infra.layout)
    authority.revoke([good])
    authority.issue(subject, new_key().public_key(), timedelta(minutes=-1))
    infra("renew", "broker.factory")
    assert "10.20.0.5" in infra.broker_names()


def test_what_is_revoked_is_not_renewed(infra):
    infra("issue", "device", "oven-001")
    Authority(infra.layout).revoke(infra.certificates("oven-001"))
    assert "only revoked ones" in infra("renew", "oven-001", code=1)
    assert len(infra.certificates("oven-001")) == 1


def test_a_device_that_is_issued_to_another_facility_loses_its_rights_in_the_first(
    infra,
):
    infra("issue", "device", "oven-001", "--facility", "north", "--days", "700")
    infra("issue", "device", "oven-001", "--facility", "south", "--days", "10")
    assert "sensors/south/oven-001/telemetry" in infra("acl")
    assert "sensors/north/" not in infra("acl")
    infra("renew", "oven-001")
    assert "sensors/south/oven-001/telemetry" in infra("acl")
