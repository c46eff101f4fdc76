"""The list of what was issued: expiry and revocation."""

import json
import re
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from egiz_infra import authority, building, register
from egiz_infra.authority import Authority


def test_list_exits_with_3_if_a_certificate_expires_soon_and_is_not_renewed(infra):
    infra("issue", "device", "oven-001", "--days", "10")
    infra("issue", "device", "mixer-002", "--days", "400")
    assert "EXPIRES SOON" in infra("list", code=1)
    infra("list", "--within", "5")
    infra("renew", "oven-001")
    assert "EXPIRES SOON" not in infra("list")
    listed = [json.loads(line) for line in infra("list", "--json").splitlines()]
    assert [(one["name"], one["days_left"]) for one in listed] == [
        ("mixer-002", 399),
        ("oven-001", 9),
        ("oven-001", 729),
    ]
    assert {one["state"] for one in listed} == {"good"}


def test_a_device_with_only_revoked_certificates_is_not_on_the_access_list(infra):
    infra("issue", "device", "oven-001", "mixer-002")
    assert "user oven-001" in infra("acl")
    Authority(infra.layout).revoke(infra.certificates("oven-001"))
    assert "user oven-001" not in infra("acl")
    assert "user mixer-002" in infra("acl")
    assert re.search(r"^oven-001 .* revoked$", infra("list"), re.MULTILINE)


@pytest.fixture
def clock_ahead(monkeypatch):
    """A block in which the clock of this machine is ahead by 40 days."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(40)

    @contextmanager
    def block():
        with monkeypatch.context() as patched:
            for module in (authority, building, register):
                patched.setattr(module, "datetime", Ahead)
            yield

    return block


def test_what_was_issued_last_counts_whatever_the_clock_was_before(infra, clock_ahead):
    with clock_ahead():
        infra("issue", "device", "oven-001", "--facility", "north")
    infra("issue", "device", "oven-001", "--facility", "south", "--days", "100")
    assert "sensors/south/oven-001/" in infra("acl")
    assert "sensors/north/" not in infra("acl")
    listed = [line.split() for line in infra("list").splitlines()]
    assert [(words[2], words[-1]) for words in listed] == [
        ("north", "yet"),
        ("south", "good"),
    ]
    (expiry,) = [x for x in infra("metrics").splitlines() if 'ate="oven-001"' in x]
    assert 'facility="south"' in expiry
    assert round((float(expiry.split()[-1]) - time.time()) / 86_400) == 100
    newest = register.unexpired(Authority(infra.layout), "oven-001")[-1]
    assert newest.subject.facility == "south"  # what revoke proves with
    infra("renew", "oven-001", "--days", "10")
    assert "sensors/north/" not in infra("acl")
    assert "EXPIRES SOON" in infra("list", code=1)


def test_a_certificate_that_is_not_valid_yet_is_not_good(infra, clock_ahead):
    with clock_ahead():
        infra("issue", "device", "oven-001")
    assert infra("list", code=1).endswith("not valid yet\n")
    infra("renew", "oven-001")
    infra("list")


def test_what_was_issued_before_there_was_an_order_is_older(infra, monkeypatch):
    """Its number has 159 random bits."""
    with monkeypatch.context() as patched:
        random = x509.random_serial_number
        patched.setattr(authority, "numbered", lambda _: random())
        infra("issue", "device", "oven-001", "--facility", "north")
    infra("issue", "device", "oven-001", "--facility", "south")
    infra("issue", "device", "mixer-002")
    assert "sensors/south/oven-001/" in infra("acl")
    found = {
        one.subject.facility: building.sequence_of(one.certificate.serial_number)
        for one in register.issued(Authority(infra.layout))
    }
    assert found == {"north": 0, "south": 1, "factory": 2}


def test_a_copy_that_was_renamed_by_hand_keeps_its_place_in_the_order(infra):
    infra("issue", "device", "mixer-002", "oven-001", "--facility", "north")
    (copy,) = (infra.layout.pki / "certificates").glob("oven-001-*.pem")
    copy.rename(copy.with_name("oven-001.old.pem"))
    infra("issue", "device", "oven-001", "--facility", "south")
    assert "sensors/south/oven-001/" in infra("acl")
    numbers = [
        building.sequence_of(one.certificate.serial_number)
        for one in register.issued(Authority(infra.layout))
    ]
    assert numbers == [1, 2, 3]


def test_a_list_of_what_is_revoked_is_not_of_the_future(infra, clock_ahead):
    """The broker refuses every device with one that is."""
    infra("issue", "device", "oven-001")
    with clock_ahead():
        Authority(infra.layout).revoke(infra.certificates("oven-001"))
    crl = x509.load_pem_x509_crl((infra.layout.pki / "crl.pem").read_bytes())
    assert crl.last_update_utc < datetime.now(UTC)
    assert len(list(crl)) == 1
