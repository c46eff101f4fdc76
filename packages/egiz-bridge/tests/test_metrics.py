"""Every metric is explained in docs/reference/metrics.md, and nothing else is."""

import inspect
import re
import subprocess
from pathlib import Path

from egiz_bridge.pipeline import intake
from egiz_bridge.pipeline.route import Route, reason_to_skip
from egiz_schema import Topic
from prometheus_client.parser import text_string_to_metric_families
from rig.publisher import Publisher
from rig.servers import REPOSITORY
from rig.waiting import eventually

DOCUMENT = REPOSITORY / "docs/reference/metrics.md"
ROW = re.compile(r"^\| `(egiz_bridge_\w+)` \| (\w+) \|", re.MULTILINE)


def _scrape(mosquitto, bridge):
    """A scrape in which every metric has a sample."""
    running = bridge(mosquitto.url, archive={})
    running.start()
    base = "sensors/factory/oven-001"
    with Publisher(mosquitto) as publisher:
        for seq in (0, 5):
            publisher.publish(
                f"{base}/telemetry",
                b'{"device_id":"oven-001","timestamp":1706352600,"boot":1,"seq":%d,'
                b'"thermal":{"setpoint":1}}' % seq,
            )
        publisher.publish(f"{base}/telemetry", b"{")
        publisher.publish(f"{base}/config", b'{"device_id":"oven-001","rev":1}')
        publisher.publish(
            f"{base}/status",
            b'{"device_id":"oven-001","state":"online","ota":{"state":"failed"}}',
        )
    eventually(lambda: running.metrics()["messages_acknowledged_total"] == 5)
    return running.get("/metrics")[1]


def test_the_bytes_of_the_spool_are_exported(mosquitto, bridge):
    away = {"url": "http://127.0.0.1:9", "bucket": "factory"}
    running = bridge(mosquitto.url, influxdb=away)
    running.start()
    assert running.metrics()["spool_bytes"] == 0
    with Publisher(mosquitto) as publisher:
        publisher.publish("sensors/factory/oven-001/telemetry", b"{")
        publisher.publish(
            "sensors/factory/oven-001/telemetry",
            b'{"device_id":"oven-001","timestamp":1706352600,"thermal":{"setpoint":1}}',
        )
    eventually(lambda: running.metrics()["sink_spooled/influxdb"] == 1)
    metrics = running.metrics()
    assert 100 < metrics["spool_bytes"] < 1000
    assert metrics["spool_max_bytes"] == 1024**3


def test_the_document_has_a_row_for_each_metric(mosquitto, bridge):
    families = text_string_to_metric_families(_scrape(mosquitto, bridge))
    served = {
        family.name: family.type
        for family in families
        if family.name.startswith("egiz_bridge_")
    }
    documented = dict(ROW.findall(DOCUMENT.read_text()))
    missing = {f"| `{name}` | {kind} | … |" for name, kind in served.items()}
    missing -= {f"| `{name}` | {kind} | … |" for name, kind in documented.items()}
    assert not missing, f"add to {DOCUMENT}, with what to do: {sorted(missing)}"
    assert documented.keys() - served.keys() == set(), "documented, and not served"


def test_the_document_explains_each_reason_of_a_skipped_message():
    """`egiz-bridge` does not say it anywhere else."""
    source = Path(inspect.getsourcefile(intake)).read_text()
    reasons = set(re.findall(r'(?:Skipped\(|skipped\[)"(\w+)"', source))
    assert reasons >= {"cleared", "retained_untimed", "qos0_overload"}
    for kind in ("telemetry", "status", "config", "command"):
        topic = Topic("factory", "oven-001", kind)
        reasons.add(reason_to_skip([Route(frozenset(), frozenset())], topic))
    far = Route(frozenset({"telemetry"}), frozenset({"other"}))
    reasons.add(reason_to_skip([far], Topic("factory", "oven-001", "telemetry")))
    (row,) = re.findall(r"^.*egiz_bridge_messages_skipped`.*$", _text(), re.MULTILINE)
    assert {reason for reason in reasons if f"`{reason}`" not in row} == set()


def _text():
    return DOCUMENT.read_text()


def test_promtool_accepts_the_names(mosquitto, bridge):
    from rig.process import require  # noqa: PLC0415  # of this test alone

    promtool = require("promtool", "apt install prometheus")
    text = _scrape(mosquitto, bridge)
    ours = "".join(line + "\n" for line in text.splitlines() if "egiz_bridge_" in line)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=ours,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
