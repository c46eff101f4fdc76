"""Accounts of services: passwords, and several accounts of one role."""

import os

import pytest
from egiz_infra.probe import Probe


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


def _authority_key(infra):
    return (infra.layout.pki / "ca.key").read_text().splitlines()[1]


def _names(passwd):
    return {line.partition(":")[0] for line in passwd.read_text().splitlines()}


@pytest.mark.parametrize("replaced_by", ["link", "pipe", "nothing"])
def test_what_the_user_of_the_broker_puts_in_place_of_passwd_is_not_read(
    infra, replaced_by
):
    """That user owns the directory, and root reads and writes there."""
    for name in ("bridge", "health"):
        infra("account", name)
    passwd = infra.layout.broker / "passwd"
    before = _names(passwd)
    passwd.unlink()
    if replaced_by == "link":
        passwd.symlink_to("../pki/ca.key")
    if replaced_by == "pipe":
        os.mkfifo(passwd)
    infra("account", "telegraf")
    assert passwd.is_file()
    assert not passwd.is_symlink()
    assert _authority_key(infra) not in passwd.read_text()
    assert _names(passwd) == before | {"telegraf"}


def test_a_password_file_that_was_rebuilt_lets_its_accounts_in(secure_mosquitto):
    (secure_mosquitto.layout.broker / "passwd").unlink()
    secure_mosquitto.infra("account", "telegraf")
    secure_mosquitto.start()
    for name in ("bridge", "health", "telegraf"):
        with Probe(secure_mosquitto.account(name)):
            pass
