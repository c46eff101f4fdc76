"""The shipped files of Prometheus, run; each alert has a test and a runbook."""

import json
import re
import subprocess
import time
from functools import partial

import pytest
import yaml
from egiz_bridge.config.settings import Http
from rig.monitoring import (
    ALERTMANAGER,
    SHIPPED,
    MqttExporter,
    names_served,
    watched,
)
from rig.process import require
from rig.publisher import Publisher
from rig.secure import SecureMosquitto
from rig.servers import REPOSITORY
from rig.waiting import eventually

RULES = [
    rule
    for group in yaml.safe_load((SHIPPED / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
RUNBOOKS = REPOSITORY / "docs/runbook.md"
# These fire on a machine that is too busy, as the one that runs the tests may be.
OF_SPEED = {"BridgeLag", "ReadingsLate", "SinkSlow"}
METRIC = re.compile(
    r"\b(?:egiz_bridge|mosquitto|mqtt2prometheus|process)_\w+"
    r"|\begiz_certificates?_\w+|\bup\b"
)


def _promtool(*arguments):
    promtool = require("promtool", "apt install prometheus")
    done = subprocess.run(
        [promtool, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault():
    _promtool("check", "config", SHIPPED / "prometheus.yml")
    _promtool("test", "rules", SHIPPED / "alerts_test.yml")


@pytest.mark.parametrize("name", ["targets.yml", "targets-compose.yml"])
def test_targets_have_the_jobs_that_rules_ask_for(name):
    groups = yaml.safe_load((SHIPPED / name).read_text())
    ports = {
        group["labels"]["job"]: target.partition(":")[2]
        for group in groups
        for target in group["targets"]
    }
    bridge = Http().listen.partition(":")[2]
    assert ports == {"egiz-bridge": bridge, "mosquitto": "9641", "node": "9100"}
    jobs = set(re.findall(r'job="([^"]+)"', (SHIPPED / "alerts.yml").read_text()))
    assert jobs <= set(ports)


def test_each_alert_has_a_test_in_which_it_begins_to_fire():
    cases = yaml.safe_load((SHIPPED / "alerts_test.yml").read_text())["tests"]
    tested = {one["name"].partition(":")[0] for one in cases}
    assert tested == set(NAMES)
    for one in cases:
        quiet, fires = one["promql_expr_test"]
        expected = f'ALERTS{{alertname="{one["name"].partition(":")[0]}"'
        assert quiet["expr"] == fires["expr"]
        assert quiet["expr"].startswith(expected)
        assert "exp_samples" not in quiet
        assert fires["exp_samples"][0]["value"] == 1
        minutes = [int(one["eval_time"].rstrip("m")) for one in (quiet, fires)]
        assert minutes[1] - minutes[0] == 1


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_what_to_do(rule):
    annotations = rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert annotations["summary"]
    assert annotations["description"].endswith((".", "?", "list"))
    # As MkDocs names pages and headings; install.sh replaces the beginning.
    page = "http://localhost:8000/runbook.html"
    assert annotations["runbook_url"] == f"{page}#{rule['alert'].lower()}"
    site = (REPOSITORY / "mkdocs.yml").read_text()
    assert "use_directory_urls: false" in site


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else():
    sections = re.findall(r"^### (.*)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(NAMES)


def test_the_queue_alert_fires_at_about_half_of_what_the_broker_may_queue():
    broker = (REPOSITORY / "infra/mosquitto/mosquitto.conf").read_text()
    (rule,) = (rule for rule in RULES if rule["alert"] == "BrokerQueueNearLimit")
    for limit, metric in (
        ("max_queued_messages", "mosquitto_stored_messages"),
        ("max_queued_bytes", "mosquitto_stored_bytes"),
    ):
        allowed = int(re.search(rf"^{limit} (\d+)", broker, re.MULTILINE)[1])
        alarmed = int(re.search(rf"{metric} > (\d+)", rule["expr"])[1])
        assert 0.3 < alarmed / allowed < 0.7, limit


def _telemetry(device, seq):
    return (
        f'{{"device_id":"{device}","timestamp":{time.time():.0f},"boot":1,"seq":{seq},'
        '"thermal":{"setpoint":1}}'
    ).encode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A broker and a bridge with a few sound messages, and Prometheus."""
    with watched(tmp_path_factory.mktemp("watched"), archive={}) as running:
        with Publisher(running.broker) as publisher:
            for seq in range(20):
                topic = "sensors/factory/oven-001/telemetry"
                publisher.publish(topic, _telemetry("oven-001", seq))
        scraped = "egiz_bridge_messages_received_total == 20 and up == 1"
        eventually(lambda: running.prometheus.query(scraped), 30)
        eventually(lambda: running.prometheus.query("mosquitto_stored_messages"), 30)
        yield running


def test_rules_speak_of_metrics_that_exist(stack):
    exporter = stack.exporter.get("/metrics").decode()
    served = {
        "up",
        *names_served(stack.bridge.get("/metrics")[1]),
        *names_served(exporter),
        *names_served(stack.node.get("/metrics").decode()),
    }
    spoken_of = {name for rule in RULES for name in METRIC.findall(rule["expr"])}
    assert spoken_of - served == set()


def test_the_exporter_has_every_metric_of_its_configuration(stack):
    wanted = yaml.safe_load((SHIPPED / "mqtt-exporter.yml").read_text())["metrics"]
    for metric in wanted:
        # It may have been scraped in the middle of a round of $SYS.
        ask = partial(stack.prometheus.query, metric["prom_name"])
        (series,) = eventually(ask)
        # The name of the metric says which topic it was.
        assert series["metric"].keys() == {"__name__", "instance", "job"}
    assert stack.prometheus.query("received_messages") == []
    # The bridge and the exporter, with the next round of $SYS.
    eventually(lambda: stack.prometheus.query("mosquitto_clients_connected == 2"), 30)


def test_the_exporter_may_read_what_the_broker_says_of_itself_in_production(tmp_path):
    broker = SecureMosquitto(tmp_path / "secure")
    broker.start()
    password = broker.layout.secrets / "exporter"
    exporter = MqttExporter(tmp_path / "exporter", broker, password)
    try:
        exporter.start()
        wanted = {"mosquitto_stored_messages", "mosquitto_heap_bytes"}
        ask = partial(exporter.get, "/metrics")
        eventually(lambda: wanted <= set(names_served(ask().decode())), 30)
    finally:
        exporter.kill()
        broker.kill()


def test_prometheus_finds_the_alertmanager(stack):
    def managers():
        answer = stack.prometheus.get("/api/v1/alertmanagers")
        return json.loads(answer)["data"]["activeAlertmanagers"]

    (manager,) = eventually(managers)
    assert manager == {"url": f"http://{ALERTMANAGER}/api/v2/alerts"}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_prometheus_evaluates_each_rule(stack, rule):
    stack.prometheus.query(rule["expr"])  # an error is an answer of 400


_ROLLED_BACK = (
    b'{"device_id":"oven-001","state":"online","timestamp":1706352600,'
    b'"ota":{"state":"rolled_back","version":"0.2.0","error":"no telemetry"}}'
)


def test_nothing_is_wrong_until_something_is(stack):
    """Last of those that share the stack: it breaks it."""
    topic, seq = "sensors/factory/oven-001/telemetry", 20

    def alerts_while_messages_come():
        nonlocal seq
        publisher.publish(topic, _telemetry("oven-001", seq))
        seq += 1
        return stack.prometheus.alerts() - OF_SPEED

    with Publisher(stack.broker) as publisher:
        eventually(lambda: alerts_while_messages_come() == set(), 30)
        publisher.publish(topic, b"{")
        publisher.publish(topic, _telemetry("oven-001", seq + 1000))
        publisher.publish("sensors/factory/oven-001/status", _ROLLED_BACK)
    alerts = stack.prometheus.alerts
    expected = {"DeadLetters", "SequenceGaps", "UpdateFailed"}
    eventually(lambda: alerts() >= expected, 30)
    assert b"error expanding" not in stack.prometheus.get("/api/v1/alerts")
    stack.broker.kill()
    eventually(lambda: alerts() >= {"BrokerDown", "BridgeNotReady"}, 30)
    stack.bridge.kill()
    eventually(lambda: "BridgeDown" in alerts(), 30)
