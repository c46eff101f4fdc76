"""The broker is back, elsewhere, or another client has the session."""

import json
import random
import socket
import statistics
import sys
import time
from types import SimpleNamespace
from unittest.mock import Mock

import egiz_bridge.session as session_module
from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt.retries import Retries
from egiz_bridge.session import Session
from egiz_schema import parse_broker_url
from rig import stored
from rig.process import free_port
from rig.publisher import Publisher
from rig.servers import Mosquitto
from rig.waiting import eventually

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = b'{"device_id":"oven-001","timestamp":%d,"thermal":{"setpoint":1}}'
FIRST_S = 1706352600
A, B = map(parse_broker_url, ("mqtt://a", "mqtt://b"))
CONNACK, SUBACK = b"\x20\x03\0\0\0", b"\x90\x04\0\x01\0\x01"
TAKEN_OVER = b"\xe0\x01\x8e"  # DISCONNECT


def _publish(broker, number):
    with Publisher(broker) as publisher:
        publisher.publish(TOPIC, PAYLOAD % (FIRST_S + number))


def test_the_bridge_is_back_soon_after_the_broker(mosquitto, bridge):
    """Half of the time within 2 s, on a machine with nothing else to do."""
    running = bridge(mosquitto.url, archive={})
    running.start()
    waited = []
    for number in range(7):
        mosquitto.stop()
        time.sleep(2 + random.random() * 3)
        mosquitto.start()
        begun = time.monotonic()
        eventually(lambda: running.metrics()["mqtt_connected"], timeout=30)
        waited.append(time.monotonic() - begun)
        _publish(mosquitto, number)
    median = statistics.median(waited)
    # Shown by pytest -s.
    sys.stdout.write(f"back after {median:.1f} s (median), {max(waited):.1f} s (max)\n")
    assert median < 5
    eventually(lambda: len(stored.in_archive(running.archive)) == 7)


def test_readiness_says_why_there_is_no_connection(mosquitto, bridge, tmp_path):
    password = tmp_path / "password"
    password.write_text("right")
    login = {"username": "bridge", "password_file": str(password)}
    running = bridge(mosquitto.url, mqtt={"url": mosquitto.url, **login}, archive={})
    running.start()
    password.write_text("")
    mosquitto.stop()
    eventually(lambda: _problem(running).endswith("password is empty"))
    password.write_text("right")
    eventually(lambda: _problem(running).endswith("Connection refused"))
    assert _problem(running).startswith("mqtt: not subscribed: ")
    mosquitto.start()
    eventually(lambda: running.get("/readyz")[0] == 200)


def _problem(running):
    return " ".join(json.loads(running.get("/readyz")[1])["problems"])


def test_after_any_outage_half_of_the_bridges_are_back_within_2_s():
    """From the pauses alone: how long the next attempt is away when the broker is."""
    waited = []
    for outage_s in (1, 5, 30, 300):
        for _ in range(300):
            retries, now_s = Retries(), 0.0
            while now_s < outage_s:
                now_s += retries.refused([A], ConnectionRefusedError())
            waited.append(now_s - outage_s)
    assert statistics.median(waited) < 2
    assert max(waited) < 5


def test_all_addresses_are_tried_before_a_pause():
    retries = Retries()
    tried, pauses = [], []
    for _ in range(6):
        tried.append(retries.address([A, B]))
        pauses.append(retries.refused([A, B], ConnectionRefusedError()))
    assert tried == [A, B] * 3
    assert [pause > 0 for pause in pauses] == [False, True] * 3
    assert retries.failures == 3
    retries.refused([A, B], ConnectionRefusedError())
    retries.connected()  # to B
    assert retries.lost(ConnectionResetError()) > 0
    assert retries.address([A, B]) == B
    assert retries.address([A]) == A  # the configuration was changed


def test_a_bridge_that_tries_many_addresses_that_hang_is_not_stuck(monkeypatch):
    """Between two of them is no pause, and each takes seconds."""
    mqtt = SimpleNamespace(url=[A] * 9)
    nothing = Mock()
    session = Session(SimpleNamespace(mqtt=mqtt, sinks=list), *[nothing] * 5)
    busy = []

    def hang(*_):
        busy.append(session.busy_seconds()["main loop"])
        time.sleep(0.1)
        if len(busy) == len(mqtt.url):
            session.stop()
        raise MqttError("no CONNACK")

    nothing.busy_seconds.return_value = {}
    monkeypatch.setattr(Session, "_broker", lambda _, url: url)
    monkeypatch.setattr(session_module, "open_connection", hang)
    session.run()
    assert max(busy) < 0.5, busy  # 0.8, if nothing but a pause is a turn
    assert nothing.collect.call_count == len(busy) - 1


def test_a_refusal_is_tried_again_more_seldom_than_a_broker_that_is_away():
    def longest(error):
        retries = Retries()
        return max(retries.refused([A], error) for _ in range(300))

    assert longest(ConnectionRefusedError()) < 4
    assert longest(MqttError("no CONNACK")) < 4
    assert 8 < longest(MqttError("refused: not authorised", is_refusal=True)) < 16


def test_the_next_address_is_tried_when_one_does_not_answer(
    mosquitto, bridge, tmp_path
):
    other = Mosquitto(tmp_path / "other")
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    urls = f"{nowhere},{mosquitto.url},{other.url}"
    running = bridge(urls, archive={})
    running.start()
    _publish(mosquitto, 0)
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 1)
    assert f"broker={nowhere} why=" in running.log
    assert f"event=subscribed broker={mosquitto.url}" in running.log
    other.start()
    mosquitto.stop()
    eventually(lambda: f"event=subscribed broker={other.url}" in running.log)
    _publish(other, 1)
    eventually(lambda: len(stored.in_archive(running.archive)) == 2)
    # A broker that was not connected to before has lost no session.
    assert running.metrics()["mqtt_sessions_lost_total"] == 0
    assert running.stop() == 0
    other.kill()


def test_check_tries_each_address(mosquitto, bridge, launch):
    nowhere = f"mqtt://127.0.0.1:{free_port()}"
    running = bridge(f"{mosquitto.url},{nowhere}", archive={})
    process = launch("egiz-bridge", "check", "--config", str(running.config))
    assert process.wait() == 1
    assert f"mqtt.url {mosquitto.url}" in process.output()
    assert f"mqtt.url {nowhere}" in process.output()
    assert process.output().count("refused") == 1


def _serve(server, last=b""):
    """Let the bridge subscribe, send `last`, and close; gives when it came."""
    with server.accept()[0] as client:
        client.recv(4096)
        client.sendall(CONNACK)
        client.recv(4096)
        client.sendall(SUBACK + last)
        return time.monotonic()


def test_a_takeover_is_named_and_the_other_client_is_left_alone_for_5_s(bridge):
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = bridge(f"mqtt://127.0.0.1:{server.getsockname()[1]}", archive={})
        running.start(wait=False)
        server.settimeout(60)
        begun = _serve(server, TAKEN_OVER)
        eventually(lambda: "another client took over this client id" in running.log)
        assert "retrying in 5 to 16 s, since another client" in running.log
        assert "each bridge needs one of its own" in running.log
        assert _serve(server) - begun > 5
    assert running.stop() == 0


def test_two_bridges_with_one_client_id_are_noticed_without_a_reason(mosquitto, bridge):
    """Mosquitto 2.0.11 gives none, nor does any broker with MQTT 3.1.1."""
    first = bridge(mosquitto.url, archive={})
    second = bridge(mosquitto.url, archive={})
    first.start()
    second.start()
    hint = "since another client may use mqtt.client_id"
    eventually(lambda: hint in first.log + second.log)
    # One of them waits, and the other has its connection for 5 s at least.
    connected = "event=subscribed"
    count = (first.log + second.log).count(connected)
    time.sleep(4)
    assert (first.log + second.log).count(connected) <= count + 2
    assert first.stop() == second.stop() == 0


def test_terms_that_are_less_than_asked_for_are_logged_and_used(bridge):
    """A session of 60 s, with four days the least, and a packet of 1 KiB at most."""
    terms = b"\x11\0\0\0\x3c\x27\0\0\4\0"
    connack = b"\0\0" + bytes([len(terms)]) + terms
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        running = bridge(url, archive={})
        running.start(wait=False)
        with server.accept()[0] as client:
            client.recv(4096)
            client.sendall(bytes([0x20, len(connack)]) + connack)
            client.recv(4096)
            client.sendall(SUBACK)
            eventually(lambda: running.metrics()["mqtt_connected"])
        eventually(lambda: running.log.count("grants less than asked for") == 2)
    assert "it keeps the session for 60 s, not 345600" in running.log
    assert "it accepts packets of at most 1024 bytes" in running.log
    assert running.stop() == 0
