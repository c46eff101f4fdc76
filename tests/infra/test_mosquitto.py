"""The shipped configuration: listeners, identity, limits, and what a crash costs."""

import contextlib
import re
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from egiz_infra.authority import Subject
from egiz_infra.cli import main
from egiz_infra.errors import Refused
from egiz_infra.limits import HALF_OPEN_BYTES, MESSAGE_BYTES, Load, derive
from egiz_infra.probe import NOT_AUTHORISED, Login, Probe
from rig.load import Connection
from rig.messages import message
from rig.secure import SecureMosquitto, WithoutTls12
from rig.waiting import eventually

CONFIGURATION = Path(__file__).parents[2] / "infra/mosquitto"
OVEN = "sensors/factory/oven-001"


# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """With two devices of one factory and a service that has a certificate."""
    server = SecureMosquitto(tmp_path_factory.mktemp("listeners") / "secure")
    server.oven = server.device("oven-001")
    server.mixer = server.device("mixer-002")
    server.bridge_pair = server.pair(Subject("service", "bridge"))
    server.start()
    yield server
    server.kill()


def _options(name):
    """The options of a shipped file; comments stand in lines of their own."""
    lines = (CONFIGURATION / name).read_text().splitlines()
    pairs = [line.partition(" ") for line in lines if line and line[0] != "#"]
    return [(key, value) for key, _, value in pairs]


# Limits


def test_the_shipped_limits_are_those_of_egiz_infra_limits():
    shipped = dict(_options("mosquitto.conf"))
    lines = CliRunner().invoke(main, ["limits"]).stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        name, value = line.split()
        assert shipped[name] == value, name
    assert derive(Load()).memory < 512e6
    service = (CONFIGURATION.parent / "systemd/mosquitto.conf").read_text()
    compose = (CONFIGURATION.parent / "compose.yaml").read_text()
    files = derive(Load()).open_files
    assert f"\nLimitNOFILE={files}\n" in service
    assert f"nofile: {{soft: {files}, hard: {files}}}" in compose
    allowed = int(re.search(r"^MemoryMax=(\d+)M$", service, re.MULTILINE)[1]) * 2**20
    assert derive(Load()).memory_max <= allowed
    # All connections that it can have, none with a certificate, and full queues.
    assert derive(Load()).memory + files * HALF_OPEN_BYTES < allowed
    stated = int(re.search(r"may need (\d+) MB", _text("mosquitto.conf"))[1])
    assert stated == round(derive(Load()).memory / 1e6)


def _text(name):
    return (CONFIGURATION / name).read_text()


def test_memory_of_a_queue_is_as_predicted(mosquitto):
    """20,000 messages that wait for a subscriber, against what `derive` says."""
    with Probe(Login(mosquitto.host, mosquitto.port), "b", keeps_session=True) as away:
        away.subscribe("sensors/#")
    messages = [message("oven-001", 1706352600000, n) for n in range(20_000)]
    size = sum(len(payload) for _, payload in messages) // len(messages)
    before = _resident_bytes(mosquitto)
    with closing(Connection(mosquitto.port)) as publisher:
        publisher.publish(messages)
        eventually(lambda: publisher.read_acks(1))
    grown = _resident_bytes(mosquitto) - before
    assert 0.8 < grown / (20_000 * (size + MESSAGE_BYTES)) < 1.25


def _resident_bytes(broker):
    status = Path(f"/proc/{broker.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def test_memory_of_a_half_open_connection_is_as_predicted(tmp_path):
    """300 clients that begin TLS and stop: no certificate is needed for that."""
    server = SecureMosquitto(tmp_path / "half-open")
    server.start()
    held = []
    try:
        before = _resident_bytes(server)
        held += [_half_open(server) for _ in range(300)]
        predicted = 300 * HALF_OPEN_BYTES
        eventually(lambda: _resident_bytes(server) - before > 0.7 * predicted)
        # When it answers a client that came later, it has answered all of these.
        Probe(server.account("health")).close()
        grown = _resident_bytes(server) - before
    finally:
        for sock in held:
            sock.close()
        server.kill()
    assert 0.7 < grown / predicted < 1.15


def _half_open(server):
    context = ssl.create_default_context()
    hello = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    sock = socket.create_connection((server.host, server.device_port))
    sock.sendall(hello.read())
    return sock


def test_a_packet_beyond_the_limit_ends_the_connection(broker):
    with Probe(broker.oven) as probe:
        assert probe.publish(f"{OVEN}/telemetry", b"x" * 4096) != NOT_AUTHORISED
        with pytest.raises(Refused):
            probe.publish(f"{OVEN}/telemetry", b"x" * 65536)


# Files


def test_no_file_has_a_comment_after_a_value_or_a_key_of_another_version():
    for path in CONFIGURATION.glob("*.conf"):
        if path.name == "persist-sqlite.conf":  # for 2.1
            continue
        for key, value in _options(path.name):
            assert "#" not in value, path
            assert key in _KNOWN_TO_2_0_11, (path, key)


# As its man page has them; 2.1 accepts each of them, too.
_KNOWN_TO_2_0_11 = {
    *("acl_file", "allow_anonymous", "allow_zero_length_clientid"),
    *("autosave_interval", "cafile", "certfile", "ciphers", "crlfile", "include_dir"),
    *("keyfile", "listener", "max_inflight_messages", "max_packet_size"),
    *("max_queued_bytes", "max_queued_messages", "password_file"),
    *("persistence", "persistence_location", "require_certificate", "set_tcp_nodelay"),
    *("tls_version", "use_identity_as_username", "use_username_as_clientid"),
}


def test_every_listener_of_production_binds_the_client_id():
    for name, listeners in (
        *(("production.conf", 0), ("service.conf", 1)),
        *(("tls12.conf", 2), ("no-tls12.conf", 1)),
    ):
        options = _options(name)
        assert [key for key, _ in options].count("listener") == listeners
        assert options.count(("use_username_as_clientid", "true")) == listeners
    assert ("allow_anonymous", "false") in _options("production.conf")


def test_production_starts_without_complaint(broker):
    eventually(lambda: " running\n" in broker.log)  # it listens before
    lines = [line for line in broker.log.lower().splitlines() if "root" not in line]
    for complaint in ("warning", "error: ", "deprecated"):
        assert not [line for line in lines[:12] if complaint in line]


# Who is let in


def _is_let_in(login):
    try:
        with Probe(login):
            return True
    except Refused:
        return False


def _limited(broker, pair, highest):
    context = broker.context(pair)
    context.maximum_version = highest
    return context


_1_2, _1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def _lets_in(broker, port, version):
    pair = broker.layout.issued / "oven-001.pem"
    return _is_let_in(Login(broker.host, port, tls=_limited(broker, pair, version)))


def test_devices_speak_tls_1_3_or_1_2_on_one_port_and_on_the_second(broker):
    for port in (broker.device_port, broker.tls12_port):
        assert _lets_in(broker, port, _1_3), port
        assert _lets_in(broker, port, _1_2), port


def test_no_device_speaks_tls_1_2_once_it_is_turned_off(tmp_path):
    broker = WithoutTls12(tmp_path / "secure")
    broker.device("oven-001")
    broker.start()
    try:
        assert _lets_in(broker, broker.device_port, _1_3)
        assert not _lets_in(broker, broker.device_port, _1_2)
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("suite", "is_let_in"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),  # both are built into MicroPython
        ("ECDHE-ECDSA-AES256-GCM-SHA384", True),
        ("ECDHE-ECDSA-AES128-SHA256", False),  # not authenticated encryption
        ("ECDHE-ECDSA-AES256-SHA", False),
    ],
)
def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(
    broker, suite, is_let_in
):
    context = _limited(
        broker, broker.layout.issued / "oven-001.pem", ssl.TLSVersion.TLSv1_2
    )
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    for port in (broker.device_port, broker.tls12_port):
        login = Login(broker.host, port, tls=context)
        assert _is_let_in(login) == is_let_in


def test_who_has_no_certificate_of_ours_stays_out(broker, tmp_path):
    other = SecureMosquitto(tmp_path / "other")  # another authority
    pair = other.pair(Subject("device", "oven-001", "factory"))
    for port in (broker.device_port, broker.tls12_port):
        for shown in (None, pair):
            login = Login(broker.host, port, tls=broker.context(shown))
            assert not _is_let_in(login)
        assert not _is_let_in(Login(broker.host, port))  # plain MQTT


@pytest.mark.parametrize(
    ("name", "password"),
    [(None, None), ("bridge", None), ("bridge", ""), ("bridge", "guess"), ("root", "")],
)
def test_who_has_no_password_stays_out(broker, name, password):
    assert not _is_let_in(Login(broker.host, broker.port, name, password))


def test_a_certificate_wins_over_the_name_in_connect(broker):
    liar = Login(broker.host, broker.device_port, "fleet", "x", broker.mixer.tls)
    with Probe(liar) as probe:
        assert probe.publish(f"{OVEN}/command") == NOT_AUTHORISED
        assert probe.publish("sensors/factory/mixer-002/status") != NOT_AUTHORISED


# Identity


@pytest.mark.parametrize("attacker", ["mixer-002", "bridge", "health"])
@pytest.mark.parametrize("victim", ["oven-001", "egizcore"])
def test_no_login_can_take_over_the_session_of_another(broker, attacker, victim):
    logins = {"oven-001": broker.oven, "mixer-002": broker.mixer}
    login = logins.get(victim) or broker.account(victim)
    topic = f"{OVEN}/command" if victim == "oven-001" else f"{OVEN}/telemetry"
    with Probe(login, victim, keeps_session=True) as sleeper:
        sleeper.subscribe(topic)
    _send(broker, topic)  # waits in the session
    with Probe(login, victim, keeps_session=True) as alive:
        with Probe(logins.get(attacker) or broker.account(attacker), victim) as probe:
            probe.subscribe("#")
            probe.publish("health/denied")
            assert not probe.received
        eventually(lambda: alive.turn() and alive.received)
        assert alive.received[0].topic == topic
        # Still connected, and still itself.
        alive.publish("health/denied")


def _send(broker, topic, **options):
    writer = broker.account("fleet") if topic.endswith("command") else broker.oven
    with Probe(writer) as probe:
        assert probe.publish(topic, b"{}", **options) != NOT_AUTHORISED


def test_no_other_login_can_change_what_is_retained(broker):
    with Probe(broker.account("fleet")) as fleet:
        fleet.publish(f"{OVEN}/config", b"right", retain=True)
    for login in (broker.mixer, broker.oven, broker.account("bridge")):
        with Probe(login) as probe:
            for payload in (b"wrong", b""):  # replaced, or deleted
                code = probe.publish(f"{OVEN}/config", payload, retain=True)
                assert code == NOT_AUTHORISED
    with Probe(broker.oven) as probe:
        probe.subscribe(f"{OVEN}/config")
        eventually(lambda: probe.turn() and probe.received)
        assert [(m.payload, m.retain) for m in probe.received] == [(b"right", True)]


@pytest.mark.parametrize(
    ("who", "topic", "arrives"),
    [
        ("oven-001", f"{OVEN}/status", True),
        ("mixer-002", f"{OVEN}/status", False),
        ("mixer-002", f"{OVEN}/config", False),
        ("mixer-002", "sensors/north/mixer-002/status", False),
        ("mixer-002", "$SYS/broker/uptime", False),
    ],
)
def test_a_last_will_speaks_for_its_own_device_only(broker, who, topic, arrives):
    login = broker.oven if who == "oven-001" else broker.mixer
    payload = f"will of {who}".encode()
    with Probe(broker.account("bridge")) as bridge:
        bridge.subscribe("sensors/#", "$SYS/#")
        Probe(login, will=(topic, payload)).die()
        # A message that comes after the will proves that the will is not published.
        _send(broker, f"{OVEN}/telemetry")
        eventually(
            lambda: (
                bridge.turn()
                and any(m.topic.endswith("telemetry") for m in bridge.received)
            )
        )
        wills = [m.topic for m in bridge.received if m.payload == payload]
        assert wills == ([topic] if arrives else [])
