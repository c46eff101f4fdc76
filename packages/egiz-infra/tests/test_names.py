"""Names are checked where they enter, and what others put into our files lives on."""

import subprocess

import pytest
from egiz_infra.errors import Refused
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe

LONG = "a" * 65
BAD = ["", " ", "a b", "a/b", "../x", LONG, "-a", "ö", "a\nb", "a:b", "#", "+"]


@pytest.mark.parametrize("name", BAD)
def test_no_name_that_a_file_or_a_topic_cannot_hold_is_issued(infra, name):
    before = sorted(infra.layout.root.rglob("*"))
    for command, code in (
        (("issue", "device", "--", name), 1),
        (("issue", "device", "oven-001", "--", name), 1),
        (("issue", "device", f"--facility={name}", "--", "oven-001"), 1),
        (("issue", "broker", "--", name), 2),
        (("issue", "broker", f"--address={name}", "--", "broker.factory"), 2),
        (("account", "--role=operator", "--", name), 1),
        (("account", "--", name), 1),
    ):
        assert "Traceback" not in infra(*command, code=code)
    after = sorted(infra.layout.root.rglob("*"))
    assert [path for path in after if path not in before and path.name != "lock"] == []


@pytest.mark.parametrize(
    "name", ["broker", "broker.factory", "10.20.0.5", "fd00::5", "a_b-c.d", "a" * 63]
)
def test_what_clients_connect_by_is_a_name_of_a_broker(infra, name):
    infra("issue", "broker", name, "--address", name)
    assert name in infra.broker_names()


@pytest.mark.parametrize(
    "name",
    ["a:b", ".a", "a.", "a..b", "*.factory", "a-", "1.2.3.4.5-", "10.20.0.500", "7"],
)
def test_what_no_client_connects_by_is_refused_as_a_name_of_a_broker(infra, name):
    assert "is no host name or IP address" in infra("issue", "broker", name, code=2)


@pytest.mark.parametrize("name", ["oven-001", "bridge", "bridge2", "health"])
def test_a_name_of_a_device_or_a_role_gets_no_other_role(infra, name):
    output = infra("account", name, "--role", "fleet", code=1)
    assert "is the name of a role or of a device" in output


def test_of_several_devices_none_is_issued_if_one_name_is_wrong(infra):
    infra("issue", "device", "oven-001", "Oven 2", code=1)
    assert not infra.certificates("oven-001")


def _by_hand(broker, name, password):
    """What somebody does who has read the manual of Mosquitto."""
    passwd = broker.layout.broker / "passwd"
    subprocess.run(
        ["mosquitto_passwd", "-b", passwd, name, password],
        check=True,
        capture_output=True,
    )


def _may(broker, name, password, topic):
    with Probe(Login(broker.host, broker.port, name, password)) as probe:
        return probe.publish(topic) != NOT_AUTHORISED


def test_an_account_of_mosquitto_passwd_lives_on_gets_a_role_and_is_removed(
    secure_mosquitto,
):
    broker = secure_mosquitto
    command = "sensors/factory/oven-001/command"
    broker.start()
    _by_hand(broker, "Node.RED", "by-hand")
    broker.infra("apply")
    broker.infra("account", "telegraf")
    broker.infra("apply")
    # It may connect, and without a role do nothing.
    assert not _may(broker, "Node.RED", "by-hand", command)
    broker.infra("account", "Node.RED", "--role", "fleet", "--keep-password")
    broker.infra("apply")
    assert _may(broker, "Node.RED", "by-hand", command)
    assert not _may(broker, "Node.RED", "by-hand", "sensors/factory/oven-001/status")
    broker.infra("account", "Node.RED", "--role", "fleet")
    broker.infra("apply")
    with pytest.raises(Refused):
        _may(broker, "Node.RED", "by-hand", command)
    password = (broker.layout.secrets / "Node.RED").read_text()
    assert _may(broker, "Node.RED", password, command)
    broker.infra("account", "Node.RED", "--remove")
    broker.infra("apply")
    with pytest.raises(Refused):
        _may(broker, "Node.RED", password, command)
    assert "Node.RED" not in broker.infra("acl")
    assert not (broker.layout.secrets / "Node.RED").exists()


def test_a_device_of_another_facility_loses_its_rights_in_the_first(secure_mosquitto):
    secure_mosquitto.start()
    first = secure_mosquitto.device("oven-001", "north")
    secure_mosquitto.infra("apply")
    north, south = (f"sensors/{f}/oven-001/telemetry" for f in ("north", "south"))
    with Probe(first) as probe:
        assert probe.publish(north) != NOT_AUTHORISED
    second = secure_mosquitto.device("oven-001", "south")
    secure_mosquitto.infra("apply")
    for login in (first, second):  # the first certificate has not expired
        with Probe(login) as probe:
            assert probe.publish(north) == NOT_AUTHORISED
            assert probe.publish(south) != NOT_AUTHORISED
