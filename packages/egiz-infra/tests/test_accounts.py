"""Accounts of services: passwords, and several accounts of one role."""


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
