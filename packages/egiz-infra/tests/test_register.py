"""The list of what was issued: expiry and revocation."""

import json
import re

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
