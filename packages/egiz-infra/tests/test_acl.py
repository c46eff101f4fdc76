"""The probe matrix: who may do what, tried on the real broker."""

import os
import signal
import time
from typing import NamedTuple

import pytest
from egiz_infra.acl import ROLES, compile_acl
from egiz_infra.layout import write
from egiz_infra.probe import NOT_AUTHORISED, Probe
from egiz_schema import topics
from egiz_schema.delivery import DELIVERY
from rig.secure import SecureMosquitto
from rig.servers import REPOSITORY
from rig.waiting import eventually

SHIPPED = REPOSITORY / "infra/mosquitto/acl"

OVEN = "sensors/factory/oven-001"
MIXER = "sensors/factory/mixer-002"
ALIEN = "sensors/north/kiln-003"  # of another facility
DEVICES = {"oven-001": "factory", "mixer-002": "factory", "kiln-003": "north"}
SENT, RECEIVED = ("telemetry", "status"), ("config", "command")

# Topics to publish to: those of devices, and some that are not of the contract.
TOPICS = [
    *(f"{device}/{kind}" for device in (OVEN, MIXER, ALIEN) for kind in topics.KINDS),
    "sensors/north/oven-001/telemetry",  # facility spoofing
    "sensors/north/oven-001/status",
    "sensors/factory/oven-001",
    "sensors/factory/oven-001/telemetry/more",
    "sensors/factory/oven-0011/telemetry",
    "sensors/oven-001/telemetry",
    "health/broker",
    "elsewhere",
]


def may_write(who):
    if who in DEVICES:
        return {f"sensors/{DEVICES[who]}/{who}/{kind}" for kind in SENT}
    if who == "fleet":
        return {topic for topic in TOPICS[:12] if topic.endswith(RECEIVED)}
    return {"health/broker"} if who == "health" else set()


def may_read(who):
    if who in DEVICES:
        return {f"sensors/{DEVICES[who]}/{who}/{kind}" for kind in RECEIVED}
    if who in {"bridge", "operator"}:
        return set(TOPICS[:12])
    if who in {"telegraf", "egizcore", "fleet"}:
        return {topic for topic in TOPICS[:12] if topic.endswith(SENT)}
    return {"health/broker"} if who == "health" else set()


EVERYBODY = [*DEVICES, *(role.name for role in ROLES)]
# The clients that publish; all others try to read.
WRITER = {topic: who for who in EVERYBODY for topic in may_write(who)}


class Matrix(NamedTuple):
    """What was found: (who, topic) of what was allowed."""

    written: set[tuple[str, str]]
    read: set[tuple[str, str]]


EXPECTED = Matrix(
    {(who, topic) for who in EVERYBODY for topic in may_write(who)},
    {(who, topic) for who in EVERYBODY for topic in may_read(who)},
)


class Party:
    """Everybody at once: one connection each, subscribed to all that there is."""

    def __init__(self, broker):
        self.broker = broker
        logins = {name: broker.device(name, at) for name, at in DEVICES.items()}
        broker.start()
        logins |= {role.name: broker.account(role.name) for role in ROLES}
        self.probes = {name: Probe(login) for name, login in logins.items()}
        for probe in self.probes.values():
            probe.subscribe("#", "$SYS/#")

    def load(self, text):
        """Give the broker a list; returns when it has read it."""
        before = self.broker.log.count("Reloading config")
        write(self.broker.layout.broker / "acl", text.encode())
        os.kill(self.broker.pid, signal.SIGHUP)
        eventually(lambda: self.broker.log.count("Reloading config") > before)
        # One turn of its loop later, it has read the files, too.
        self.probes["health"].publish("health/denied")

    def probe(self):
        """Everybody tries everything."""
        for probe in self.probes.values():
            probe.received.clear()  # what comes late has another mark
        mark = b"%d" % time.monotonic_ns()
        messages = [(topic, mark, False) for topic in TOPICS]
        written = set()
        for who, probe in self.probes.items():
            codes = probe.publish_all(messages)
            allowed = [t for t, code in zip(TOPICS, codes, strict=True) if code != 0x87]
            written |= {(who, topic) for topic in allowed}
        return Matrix(written, self._read(mark))

    def _read(self, mark):
        """The messages of each client; after a PUBACK, all before it have arrived."""
        found = set()
        for who, probe in self.probes.items():
            probe.publish("health/denied")
            found |= {
                (who, message.topic)
                for message in probe.received
                if message.payload == mark
            }
        return found


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    broker = SecureMosquitto(tmp_path_factory.mktemp("acl") / "secure")
    try:
        made = Party(broker)
        yield made
        for probe in made.probes.values():
            probe.close()
    finally:
        broker.kill()


def test_the_shipped_list_is_compiled_from_the_contract():
    assert SHIPPED.read_text() == compile_acl({})
    assert compile_acl(DEVICES).startswith(compile_acl({}))


def test_this_matrix_knows_every_kind_and_every_role():
    assert set(SENT) == {k for k, how in DELIVERY.items() if how.action == "send"}
    assert set(RECEIVED) == set(DELIVERY) - set(SENT)
    # Who may do nothing here has a test of its own.
    assert {who for who, _ in EXPECTED.written | EXPECTED.read} | {"exporter"} == set(
        EVERYBODY
    )


def test_everybody_may_do_what_they_must_and_nothing_else(party):
    party.load(SHIPPED.read_text() + compile_acl(DEVICES)[len(compile_acl({})) :])
    found = party.probe()
    assert len(EVERYBODY) * len(TOPICS) * 2 >= 60
    assert found.written == EXPECTED.written
    assert found.read == EXPECTED.read


def test_each_line_of_the_list_is_needed(party):
    """Without any one of them, the matrix is another one."""
    lines = compile_acl(DEVICES).splitlines(keepends=True)
    rules = [n for n, line in enumerate(lines) if line.startswith("topic ")]
    not_probed = {"$SYS/broker/#", "health/acl/0"}  # tests of their own
    unnoticed = []
    for number in rules:
        party.load("".join(lines[:number] + lines[number + 1 :]))
        if party.probe() == EXPECTED:
            unnoticed.append(lines[number].split()[-1])
    assert len(rules) > 30
    assert set(unnoticed) == not_probed


def test_a_list_that_allows_too_much_is_noticed(party):
    wide = "user oven-001\ntopic write sensors/+/oven-001/+\n"
    party.load(compile_acl(DEVICES) + wide)
    found = party.probe()
    too_much = {topic for who, topic in found.written - EXPECTED.written}
    assert too_much == {
        f"{OVEN}/config",
        f"{OVEN}/command",
        "sensors/north/oven-001/telemetry",
        "sensors/north/oven-001/status",
    }


def _metrics(probe):
    probe.publish("health/denied")  # with its PUBACK, all that was sent before is here
    probe.received.clear()
    probe.subscribe("$SYS/broker/#")
    probe.publish("health/denied")
    return {message.topic for message in probe.received}


def test_only_the_exporter_sees_the_broker(party):
    party.load(compile_acl(DEVICES))
    eventually(lambda: "$SYS/broker/uptime" in _metrics(party.probes["exporter"]))
    found = [who for who, probe in party.probes.items() if _metrics(probe)]
    assert found == ["exporter"]
    party.load(compile_acl(DEVICES).replace("topic read $SYS/broker/#\n", ""))
    assert not _metrics(party.probes["exporter"])


def test_no_login_may_write_to_the_brokers_own_topics(party):
    party.load(compile_acl(DEVICES))
    for probe in party.probes.values():
        assert probe.publish("$SYS/broker/uptime") == NOT_AUTHORISED
        assert probe.publish("$CONTROL/dynamic-security/v1") == NOT_AUTHORISED
