"""egiz-bridge on the listeners of production, and what a crash of the broker costs."""

import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from egiz_infra.authority import Subject
from egiz_infra.errors import Refused
from egiz_infra.probe import NOT_AUTHORISED, Probe
from rig import stored
from rig.device import DEVICE, Device
from rig.process import own_program
from rig.waiting import eventually

CONFIGURATION = Path(__file__).parents[2] / "infra/mosquitto"
TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = (
    b'{"device_id":"oven-001","timestamp":%d,"seq":%d,"boot":1,'
    b'"thermal":{"setpoint":1.0}}'
)


@pytest.fixture
def broker(secure_mosquitto):
    secure_mosquitto.oven = secure_mosquitto.device("oven-001")
    secure_mosquitto.pair(Subject("service", "bridge"))
    secure_mosquitto.start()
    return secure_mosquitto


def _with_password(broker, name="bridge"):
    return {
        "url": broker.url,
        "username": name,
        "password_file": str(broker.layout.secrets / name),
    }


def _with_certificate(broker):
    return {
        "url": f"mqtts://localhost:{broker.device_port}",
        "ca_file": str(broker.layout.broker / "ca.pem"),
        "certificate_file": str(broker.layout.issued / "bridge.pem"),
    }


def _publish(broker, numbers):
    """As the oven, at QoS 1; every one of them is acknowledged."""
    with Probe(broker.oven) as probe:
        codes = probe.publish_all([(TOPIC, _payload(n), True) for n in numbers])
    assert NOT_AUTHORISED not in codes


def _payload(number):
    return PAYLOAD % (1706352600 + number, number)


def _archived(running):
    return {row["seq"] for row in stored.in_archive(running.archive).values()}


@pytest.mark.parametrize("how", [_with_password, _with_certificate])
def test_the_bridge_stores_everything(broker, bridge, how):
    running = bridge("", mqtt=how(broker), archive={})
    running.start()
    _publish(broker, range(500))
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 500)
    assert _archived(running) == set(range(500))
    assert running.stop() == 0


def test_the_firmware_is_enrolled_stored_and_revoked(
    secure_mosquitto, bridge, hardware, micropython, tmp_path
):
    """On the listener for stock MicroPython, with the files that egiz-infra makes."""
    del micropython  # whether there is an interpreter
    broker = secure_mosquitto
    broker.infra("issue", "device", DEVICE)
    broker.start()
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    made = broker.layout.issued / DEVICE
    names = {"ca": "ca.der", "cert": "certificate.der", "key": "key.der"}
    files = {name: str(made / file) for name, file in names.items()}
    (tmp_path / "flash").mkdir()
    address = ("localhost", broker.tls12_port)
    device = Device(address, tmp_path / "flash", hardware, tls=files)
    try:
        eventually(lambda: len(_telemetry(running)) >= 3, 60)
        broker.infra("revoke", DEVICE)
        eventually(lambda: len([x for x in device.output if "no broker" in x]) >= 2, 60)
        received = _telemetry(running)
        assert received == set(range(len(received)))
    finally:
        device.kill()


def _telemetry(running):
    found = stored.in_archive(running.archive)
    return {row["seq"] for (kind, *_), row in found.items() if kind == "telemetry"}


def _run(*command, **env):
    return subprocess.run(
        [own_program("egiz-bridge"), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **env},
    )


def test_looking_at_the_broker_does_not_cost_the_bridge_its_queue(broker, bridge):
    """An account has one session there, whatever client id is asked for."""
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    assert running.stop() == 0
    _publish(broker, range(100))
    config = ("--config", str(running.config))
    checked = _run("check", *config)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    done = _run("tail", "--count", "1", *config)
    assert done.returncode != 0
    assert "give another account, with EGIZ_BRIDGE_MQTT_USERNAME" in done.stderr
    operator = _with_password(broker, "operator")
    seen = _run(
        *("tail", "--retained", "--json", "--count", "1", *config),
        EGIZ_BRIDGE_MQTT_USERNAME="operator",
        EGIZ_BRIDGE_MQTT_PASSWORD_FILE=operator["password_file"],
    )
    assert f'"topic": "{TOPIC}"' in seen.stdout, seen.stderr
    running.start()
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 100)
    assert _archived(running) == set(range(100))
    assert running.metrics()["mqtt_sessions_lost_total"] == 0


# SIGKILL


def _save(broker):
    """Have the broker save now, as it does every autosave_interval."""
    database = broker.directory / "mosquitto.db"
    before = database.stat().st_mtime_ns if database.exists() else 0
    os.kill(broker.pid, signal.SIGUSR1)
    eventually(lambda: database.exists() and database.stat().st_mtime_ns > before)


def test_of_a_queue_a_kill_costs_what_came_after_the_last_save(broker, bridge):
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    assert running.stop() == 0
    _publish(broker, range(300))
    _save(broker)
    _publish(broker, range(300, 500))
    broker.kill()
    broker.start()
    running.start()
    _publish(broker, [500])
    eventually(lambda: 500 in _archived(running))
    assert _archived(running) == {*range(300), 500}
    metrics = running.metrics()
    assert metrics["devices_missing_messages"] == 200
    assert metrics["mqtt_sessions_lost_total"] == 0


def test_a_session_that_was_not_saved_is_reported_as_lost(broker, bridge):
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    broker.kill()
    broker.start()
    eventually(lambda: running.metrics()["mqtt_sessions_lost_total"] == 1, 40)


def _publish_for_ever(broker, acknowledged):
    with Probe(broker.oven) as probe:
        for number in itertools.count(0, 50):
            batch = range(number, number + 50)
            probe.publish_all([(TOPIC, _payload(n), True) for n in batch])
            acknowledged |= {*batch}


def _kill_under_load(broker, running, seconds):
    """Publish without a pause, and kill the broker in the middle of it.

    Gives the numbers that were acknowledged. What was not is sent again, as a device
    does.
    """
    acknowledged = set()
    killer = threading.Timer(seconds, broker.kill)
    killer.start()
    with pytest.raises(Refused):
        _publish_for_ever(broker, acknowledged)
    killer.join()
    number = len(acknowledged)
    broker.start()
    rest = range(number, number + 100)
    _publish(broker, rest)
    eventually(lambda: rest[-1] in _archived(running), 40)
    return acknowledged | {*rest}


def test_under_load_the_bridge_counts_what_a_kill_cost(broker, bridge):
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    _save(broker)  # the session
    acknowledged = _kill_under_load(broker, running, 1.0)
    lost = acknowledged - _archived(running)
    assert running.metrics()["devices_missing_messages"] == len(lost)
    assert running.metrics()["mqtt_sessions_lost_total"] == 0
    # It was connected: what was on its way to it, of a second at full speed. A busy
    # machine lets the broker or the bridge wait for some turns.
    assert len(lost) <= len(acknowledged) / 10


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [25, 29, 33])
def test_the_stated_bound_holds_with_the_shipped_interval(broker, bridge, seconds):
    """The bridge is away for so long; then the broker is killed."""
    running = bridge("", mqtt=_with_password(broker), archive={})
    running.start()
    assert running.stop() == 0
    _save(broker)
    sent_at = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        _publish(broker, [len(sent_at)])
        sent_at.append(time.monotonic())
        time.sleep(0.1)
    broker.kill()
    killed_at = time.monotonic()
    broker.start()
    running.start()
    last = len(sent_at)
    _publish(broker, [last])
    eventually(lambda: last in _archived(running), 40)
    lost = {*range(last)} - _archived(running)
    assert running.metrics()["devices_missing_messages"] == len(lost) > 0
    assert max(killed_at - sent_at[number] for number in lost) <= _stated_bound_s()


def _stated_bound_s():
    (stated,) = re.findall(
        r"\*\*(\d+) seconds at most\*\*", (CONFIGURATION / "README.md").read_text()
    )
    return int(stated)


def test_the_stated_bound_is_of_the_shipped_interval():
    text = (CONFIGURATION / "mosquitto.conf").read_text()
    interval = int(re.search(r"^autosave_interval (\d+)$", text, re.MULTILINE)[1])
    # The broker looks once a second, and saves when more than the interval has passed.
    assert _stated_bound_s() == interval + 2
    assert f"{_stated_bound_s()} s of it at most" in " ".join(
        text.replace("#", "").split()
    )
