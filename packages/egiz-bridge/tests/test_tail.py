"""`tail` and `bench`: a look at what flows, and at what it costs."""

import json
import re
import threading

import pytest
from egiz_bridge.cli.live import Filter
from egiz_bridge.cli.tail import tail as tail_command
from rig.publisher import Publisher
from rig.waiting import eventually

GOOD = (
    "sensors/north/oven-001/telemetry",
    b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1.5}}',
)
OTHER = (
    "sensors/south/mixer-7/status",
    b'{"device_id":"mixer-7","timestamp":1706352600,"state":"[red]online[/]"}',
)
_OPTIONS = {
    "config": None,
    "facility": "*",
    "device": "*",
    "kind": "*",
    "retained": False,
    "rates": False,
    "as_json": False,
    "count": None,
    "seconds": None,
}
BAD = ("sensors/north/oven-001/telemetry", b"{")


@pytest.fixture
def stream(mosquitto):
    """Publishes the three messages again and again."""
    stop = threading.Event()

    def publish():
        with Publisher(mosquitto) as publisher:
            while not stop.wait(0.05):
                for topic, payload in (GOOD, OTHER, BAD):
                    publisher.publish(topic, payload)

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def tail(launch, mosquitto, stream):
    """`tail("--json")` starts it."""
    del stream

    def start(*arguments):
        env = {"EGIZ_BRIDGE_MQTT_URL": mosquitto.url}
        return launch("egiz-bridge", "tail", *arguments, env=env)

    return start


def test_messages_are_shown_decoded_and_rejects_with_the_reason(tail):
    process = tail("--count", "9")
    assert process.wait() == 0
    lines = process.output().splitlines()
    assert len(lines) == 9
    assert any(
        "north/oven-001 telemetry thermal_setpoint=1.5" in line for line in lines
    )
    # A text of a device is no markup for the terminal.
    assert any("south/mixer-7 status state=[red]online[/]" in line for line in lines)
    assert any("not_json" in line for line in lines)


def test_scripts_get_json_and_filters_filter(tail):
    process = tail("--json", "--device", "mixer-*", "--count", "3")
    assert process.wait() == 0
    for line in process.output().splitlines():
        shown = json.loads(line)
        assert shown["topic"] == OTHER[0]
        assert shown["time_ms"] == 1706352600000
        assert shown["fields"] == {"state": "[red]online[/]"}
    process = tail("--json", "--kind", "telemetry", "--count", "4")
    assert process.wait() == 0
    shown = [json.loads(line) for line in process.output().splitlines()]
    assert {one.get("reason", "good") for one in shown} == {"good", "not_json"}


def test_rates_are_counted_by_facility(tail):
    process = tail("--rates", "--seconds", "2.5")
    assert process.wait() == 0
    assert "north" in process.output()
    assert "messages/s" in process.output()


def test_it_ends_by_itself_or_with_ctrl_c_and_without_a_traceback(tail):
    quiet = tail("--facility", "nowhere", "--seconds", "1")
    assert quiet.wait() == 0
    assert quiet.output() == ""
    process = tail()
    process.wait_for("oven-001")
    assert process.interrupt() == 130
    assert "Traceback" not in process.output()


def test_ctrl_c_while_a_line_is_written_ends_the_connection_first(
    mosquitto, stream, monkeypatch
):
    """Else it would be ended when the interpreter is."""
    del stream
    monkeypatch.setenv("EGIZ_BRIDGE_MQTT_URL", mosquitto.url)
    written = []

    def write(_console, line):
        written.append(line)
        raise KeyboardInterrupt

    monkeypatch.setattr("egiz_bridge.cli.tail.Console.print", write)
    with pytest.raises(KeyboardInterrupt) as interrupted:  # which keeps the frames
        tail_command.callback(**_OPTIONS)
    assert len(written) == 1
    # Mosquitto 2.1 has the address of the client in it.
    ended = r"Client \S+-tail-\S+ .*\bdisconnected"
    eventually(lambda: re.search(ended, mosquitto.log))
    del interrupted


def test_it_shows_what_flows_when_the_broker_is_back(mosquitto, launch):
    process = launch("egiz-bridge", "tail", env={"EGIZ_BRIDGE_MQTT_URL": mosquitto.url})
    _publish_until(mosquitto, lambda: "oven-001" in process.output())
    mosquitto.stop()
    process.wait_for("connection lost; connecting again")
    mosquitto.start()
    _publish_until(mosquitto, lambda: "oven-001" in _after_loss(process))
    assert process.interrupt() == 130


def _after_loss(process):
    return process.output().partition("connecting again")[2]


def _publish_until(mosquitto, is_done):
    with Publisher(mosquitto) as publisher:

        def look():
            if not is_done():
                publisher.publish(*GOOD)
            return is_done()

        eventually(look)


def test_a_broker_that_is_not_there_is_an_error_that_names_its_key(launch):
    env = {"EGIZ_BRIDGE_MQTT_URL": "mqtt://127.0.0.1:1"}
    process = launch("egiz-bridge", "tail", env=env)
    assert process.wait() == 1
    assert process.output().startswith("mqtt.url: ")
    assert "Traceback" not in process.output()


def test_the_bridge_is_not_disturbed(mosquitto, bridge, launch):
    running = bridge(mosquitto.url, archive={})
    running.start()
    process = launch(
        "egiz-bridge", "tail", "--config", str(running.config), "--count", "1"
    )
    with Publisher(mosquitto) as publisher:

        def is_seen():
            publisher.publish(*GOOD)
            return not process.is_running()

        eventually(is_seen)
    assert running.metrics()["mqtt_connections_total"] == 1


@pytest.mark.parametrize(
    ("wanted", "topic", "verdict"),
    [
        (Filter(), "nonsense", True),
        (Filter(device="oven-*"), "nonsense", False),
        (Filter(facility="n*"), GOOD[0], True),
        (Filter(kind="status"), GOOD[0], False),
    ],
)
def test_a_filter_judges_by_the_topic(wanted, topic, verdict):
    assert wanted.wants(topic) is verdict


def test_bench_shows_what_a_message_costs(launch):
    process = launch("egiz-bridge", "bench", "--json")
    assert process.wait(60) == 0
    shown = json.loads(process.output())
    assert list(shown) == ["MQTT packets", "decode and line", "body"]
    assert all(cost > 0 for cost in shown.values())
