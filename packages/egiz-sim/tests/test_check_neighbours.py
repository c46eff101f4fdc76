"""`egiz-sim check` beside what it does not own: the port, and the broker before it."""

import asyncio
import contextlib
import functools
import socket
import subprocess
from dataclasses import replace

import paho.mqtt.client as paho
import pytest
import trustme
from egiz_schema import decode
from egiz_sim.broker import Broker, TlsFiles
from egiz_sim.conformance.errors import CheckError, PortError
from egiz_sim.conformance.orders import Configs, as_bytes
from egiz_sim.conformance.plan import Plan
from egiz_sim.conformance.run import check
from paho.mqtt.enums import MQTTProtocolVersion
from rig.faulty_device import FaultyDevice
from rig.process import free_port, require
from rig.publisher import Publisher
from rig.servers import Mosquitto

TOPIC = "sensors/factory/oven-001/config"
CONFIG = b'{"device_id":"oven-001", "rev":41, "publish_rate_ms":300}'


# What may be retained, and no device that is right obeys.
REFUSED = {
    "out of range": b'{"device_id":"oven-001","rev":41,"buffer_size":99999}',
    "too deep": b"[" * 1500 + b"]" * 1500,
    "no number": b'{"device_id":"oven-001","rev":41,"x":NaN}',
    "endless": b'{"device_id":"oven-001","rev":41,"x":1e999}',
    "a newer contract": b'{"device_id":"oven-001","rev":41,"v":2}',
    "of another device": b'{"device_id":"oven-002","rev":41,"wifi_ssid":"there"}',
    "no JSON": b'{"device_id":',
}


class Checked:
    """One check in this process; what it says is in `said`."""

    def __init__(self, broker, **options):
        options = {"interval_ms": 200, "outage": 2, "answer": 2, "wait": 20} | options
        self.plan = Plan("factory", "oven-001", free_port(), **options)
        self.said, self.on_say = [], lambda _text: None
        self._broker = broker if isinstance(broker, Broker) else _address(broker)

    def run(self):
        return asyncio.run(check(self._broker, self.plan, self._say))

    def _say(self, text):
        self.said.append(text)
        self.on_say(text)


def _address(broker):
    return Broker.from_url(broker.url)


@pytest.fixture
def device():
    """Start a device: `device(checked, FaultyDevice)`."""
    started = []

    def start(checked, kind=FaultyDevice, fault=""):
        port = checked.plan.proxy_port
        started.append(kind("localhost", port, "oven-001", fault))
        return started[-1]

    yield start
    for each in started:
        each.close()


def _retain(broker, payload):
    with Publisher(broker) as publisher:
        publisher.publish(TOPIC, payload, retain=True)


def _of(result, verdict):
    """Rule -> why, of those with a verdict."""
    return {
        each.rule.id: " ".join(each.details)
        for each in result.verdicts
        if each.verdict == verdict
    }


def test_a_port_that_is_taken_in_the_outage_keeps_it_from_nothing(mosquitto, device):
    _retain(mosquitto, CONFIG)
    checked = Checked(mosquitto)
    device(checked)
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do

    def take():
        taken.bind(("", checked.plan.proxy_port))
        taken.listen()

    def say(text):
        if text.startswith("outage of"):
            asyncio.get_running_loop().call_later(0.1, take)

    checked.on_say = say
    with taken, pytest.raises(PortError, match="choose another port"):
        checked.run()
    assert mosquitto.orders() == {TOPIC: CONFIG}
    assert "the config that was found is retained again, but" in checked.said[-1]


@pytest.mark.parametrize("found", REFUSED.values(), ids=REFUSED)
def test_a_config_that_the_contract_refuses_is_no_base_of_others(found):
    configs = Configs(TOPIC, found, None)
    assert configs.refusal
    for document in (configs.next(publish_rate_ms=200), configs.last()):
        assert set(document) <= {"device_id", "rev", "publish_rate_ms"}
        decode(TOPIC, as_bytes(document))


def test_a_config_that_is_right_is_the_base_of_others():
    found = CONFIG.replace(b"300", b'300.0, "zones":{"1":"door"}, "of_later":[1]')
    configs = Configs(TOPIC, found, None)
    assert configs.has_room
    assert not configs.refusal
    assert configs.next(buffer_size=5) == {
        "device_id": "oven-001",
        "rev": 42,
        "publish_rate_ms": 300,
        "zones": {"1": "door"},
        "of_later": [1],
        "buffer_size": 5,
    }


def test_a_device_is_not_blamed_for_a_config_that_was_wrong_before(mosquitto, device):
    found = REFUSED["out of range"]
    _retain(mosquitto, found)
    checked = Checked(mosquitto)
    device(checked)
    result = checked.run()
    assert _of(result, "fail") == {}
    assert {"config.applied", "config.unknown"} <= set(_of(result, "pass"))
    (note,) = result.notes
    assert "the contract refuses it" in note
    assert "buffer_size" in note
    assert mosquitto.orders() == {TOPIC: found}


def test_a_config_that_leaves_no_room_is_left_where_it_is(mosquitto, device):
    zones = {str(number): "x" * 64 for number in range(32)}
    found = as_bytes({"device_id": "oven-001", "zones": zones, "of_later": "x" * 1700})
    decode(TOPIC, found)
    assert not Configs(TOPIC, found, None).has_room
    _retain(mosquitto, found)
    checked = Checked(mosquitto)
    device(checked)
    result = checked.run()
    assert _of(result, "fail") == {}
    assert "4096" in _of(result, "not tried")["config.applied"]
    assert result.notes == []
    assert mosquitto.orders() == {TOPIC: found}


def test_a_device_that_the_broker_refuses_is_not_one_that_did_not_connect(
    tmp_path, device
):
    passwords = tmp_path / "passwords"
    program = require("mosquitto_passwd", "apt install mosquitto")
    command = [program, "-c", "-b", passwords, "check", "secret"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with _running(tmp_path, f"password_file {passwords}", anonymous=False) as broker:
        own = replace(_address(broker), username="check", password="secret")
        checked = Checked(own, wait=4)
        device(checked)  # with no password
        with pytest.raises(CheckError) as raised:
            checked.run()
    port = checked.plan.proxy_port
    assert str(raised.value) == (
        f"a connection came to port {port}, but the broker refuses it: not authorised"
    )


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (MQTTProtocolVersion.MQTTv5, "MQTT of level 5, not 3.1.1"),
        (MQTTProtocolVersion.MQTTv31, "MQTT of level 3, not 3.1.1"),
    ],
)
def test_the_outage_of_a_device_of_another_mqtt_is_judged(
    mosquitto, device, monkeypatch, version, reason
):
    client = functools.partial(paho.Client, protocol=version)
    monkeypatch.setattr("rig.faulty_device.paho.Client", client)
    checked = Checked(mosquitto)
    device(checked)
    _outage_is_judged(checked, reason)


def test_the_outage_of_a_device_with_tls_is_judged(tmp_path, device, monkeypatch):
    authority = trustme.CA()
    ca, cert = tmp_path / "ca.pem", tmp_path / "broker.pem"
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(cert)

    class Client(paho.Client):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.tls_set(str(ca))

    port = free_port()
    listener = f"listener {port} localhost\nallow_anonymous true"
    with _running(tmp_path, f"{listener}\ncertfile {cert}\nkeyfile {cert}"):
        monkeypatch.setattr("rig.faulty_device.paho.Client", Client)
        url, tls = f"mqtts://localhost:{port}", TlsFiles(str(ca), None, None)
        checked = Checked(Broker.from_url(url, tls=tls))
        device(checked)
        _outage_is_judged(checked, "no MQTT in clear (is it TLS?)")


def _outage_is_judged(checked, reason):
    result = checked.run()
    assert _of(result, "fail") == {}
    assert reason in _of(result, "not tried")["will.given"]
    kept, once = "outage.kept", "outage.once"
    assert {kept, once, "outage.order", "outage.times"} <= set(_of(result, "pass"))
    assert result.seconds < checked.plan.wait + 15


@contextlib.contextmanager
def _running(directory, extra, *, anonymous=True):
    broker = Mosquitto(directory / "mosquitto", extra)
    if not anonymous:
        shipped = broker.directory / "conf.d" / "demo.conf"
        text = shipped.read_text()
        shipped.write_text(text.replace("anonymous true", "anonymous false"))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Modest(FaultyDevice):
    """Says nothing of what it can, and does only what `actions` has."""

    actions = ("sample_now", "reboot")

    def _fault_of_command(self, order, is_retained):
        if order and order["action"] == "identify":
            return "unknown action"
        if order and order["action"] in self.actions:  # as `identify` of the rig's
            order = {**order, "action": "identify"}
        return super()._fault_of_command(order, is_retained)


class Idle(Modest):
    actions = ()


def test_a_device_that_cannot_identify_itself_is_asked_for_a_sample(mosquitto, device):
    checked = Checked(mosquitto)
    device(checked, Modest)
    result = checked.run()
    assert _of(result, "fail") == {}
    commands = {rule for rule in _of(result, "pass") if rule.startswith("command.")}
    assert {"command.answered", "command.repeated", "command.burst"} <= commands
    assert "command: sample_now" in checked.said


def test_a_device_that_refuses_what_is_harmless_is_not_blamed(mosquitto, device):
    checked = Checked(mosquitto)
    device(checked, Idle)
    result = checked.run()
    assert _of(result, "fail") == {}
    why = _of(result, "not tried")
    assert (
        "it refuses identify and sample_now; name what it obeys in `can`"
        in (why["command.answered"])
    )
    assert why["command.retained"] == why["command.burst"] == why["command.answered"]


class Small(FaultyDevice):
    """Keeps as many readings as its config says, or `provisioned`."""

    provisioned, says_so = 100, True
    _size, _dropped = 100, 0

    def _apply(self, wanted):
        super()._apply(wanted)
        self._size = wanted.get("buffer_size", self.provisioned)

    def _reading(self):
        while len(self._waiting) >= max(self._size, 1):
            self._waiting.pop(0)
            self._dropped += 1
        health = {"dropped": self._dropped} if self.says_so else {}
        return {**super()._reading(), "status": health}


class Tiny(Small):
    provisioned = 2


class Silent(Tiny):
    says_so = False


def test_a_small_buffer_of_the_config_that_was_found_is_no_loss(mosquitto, device):
    found = CONFIG.replace(b"300", b'300,"buffer_size":2')
    _retain(mosquitto, found)
    checked = Checked(mosquitto)
    device(checked, Small)
    result = checked.run()
    assert _of(result, "fail") == {}
    assert "outage.kept" in _of(result, "pass")
    assert mosquitto.orders() == {TOPIC: found}


@pytest.mark.parametrize(
    ("kind", "verdict", "why"),
    [(Tiny, "not tried", "as it says"), (Silent, "fail", "readings are missing")],
)
def test_a_device_that_says_what_it_dropped_has_not_lost_it(
    mosquitto, device, kind, verdict, why
):
    checked = Checked(mosquitto)
    device(checked, kind)
    result = checked.run()
    assert set(_of(result, "fail")) <= {"outage.kept"}
    assert why in _of(result, verdict)["outage.kept"]
