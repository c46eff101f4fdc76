"""Prometheus and the exporter of the broker, with what the project ships."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from egiz_infra import tls_versions
from egiz_infra.apply import write_files
from egiz_infra.authority import Authority, create
from egiz_infra.expiry import metrics
from egiz_infra.layout import Layout, write
from prometheus_client.parser import text_string_to_metric_families

from rig.bridge import Bridge
from rig.process import Process, require
from rig.servers import REPOSITORY, HttpServer, Mosquitto

SHIPPED = REPOSITORY / "infra/prometheus"
ALERTMANAGER = "127.0.0.1:9"  # no program listens there


class MqttExporter(HttpServer):
    """prometheus-mqtt-exporter, on a broker; with a `password`, as `exporter`."""

    def __init__(
        self, directory: Path, broker: Mosquitto, password: Path | None = None
    ) -> None:
        super().__init__(directory)
        names = ("MQTT2PROM_MQTT_USER", "MQTT2PROM_MQTT_PASSWORD")
        account = ("exporter", str(password)) if password else ()
        self._account = dict(zip(names, account, strict=False))
        install = "apt install prometheus-mqtt-exporter"
        self._program = require("prometheus-mqtt-exporter", install)
        self.config = directory / "mqtt-exporter.yml"
        shipped = (SHIPPED / "mqtt-exporter.yml").read_text()
        address = f"{broker.host}:{broker.port}"
        self.config.write_text(shipped.replace("localhost:1883", address))

    def start(self) -> None:
        """Start it, with its account if it has one."""
        self._process = Process(self._command(), self._log, self._account)
        self._process.wait_until(self._is_ready, timeout=30)

    def _command(self) -> list[str]:
        listen = ["-listen-address", self.host, "-listen-port", str(self.port)]
        secret = ["-treat-mqtt-password-as-file-name"] if self._account else []
        return [self._program, "-config", str(self.config), *listen, *secret]

    def _is_ready(self) -> object:
        return self.get("/metrics")


class NodeExporter(HttpServer):
    """prometheus-node-exporter as its unit starts it, with metrics of an authority."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        install = "apt install prometheus-node-exporter"
        self._program = require("prometheus-node-exporter", install)
        layout = Layout(directory / "egiz")
        write_files(create(layout, "Test"))
        write(directory / "certificates.prom", metrics(Authority(layout)).encode())
        counts = tls_versions.metrics({"oven-001": "1.2"})
        write(directory / "tls.prom", counts.encode())

    def _command(self) -> list[str]:
        unit = REPOSITORY / "infra/systemd/prometheus-node-exporter.conf"
        shipped = unit.read_text().rpartition("ExecStart=")[2].splitlines()[0]
        here = {
            "/var/lib/egiz-certificates": str(self.directory),
            "127.0.0.1:9100": f"{self.host}:{self.port}",
        }
        for there, value in here.items():
            shipped = shipped.replace(there, value)
        return [self._program, *shipped.split()[1:]]

    def _is_ready(self) -> object:
        return self.get("/metrics")


class Alertmanager(HttpServer):
    """Alertmanager as its unit starts it, its webhook at an address of ours."""

    def __init__(self, directory: Path, webhook: str) -> None:
        super().__init__(directory)
        install = "apt install prometheus-alertmanager"
        self._program = require("prometheus-alertmanager", install)
        shipped = (SHIPPED / "alertmanager.yml").read_text()
        # If an alert has just ended, as when Prometheus starts, the next waits longer.
        quick = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", shipped)
        (directory / "alertmanager.yml").write_text(
            quick.replace("http://127.0.0.1:9095/", webhook)
        )

    def _command(self) -> list[str]:
        unit = REPOSITORY / "infra/systemd/prometheus-alertmanager.conf"
        shipped = unit.read_text().rpartition("ExecStart=")[2].splitlines()[0]
        here = {
            "/etc/egiz/prometheus": str(self.directory),
            "/var/lib/prometheus": str(self.directory),
            "127.0.0.1:9093": f"{self.host}:{self.port}",
        }
        for there, value in here.items():
            shipped = shipped.replace(there, value)
        return [self._program, *shipped.split()[1:]]

    def _is_ready(self) -> object:
        return self.get("/-/ready")


class Prometheus(HttpServer):
    """Prometheus, scraping and evaluating each second; `targets`: addresses by job."""

    def __init__(
        self,
        directory: Path,
        targets: dict[str, str],
        alertmanager: str = ALERTMANAGER,
    ) -> None:
        super().__init__(directory)
        self._program = require("prometheus", "apt install prometheus")
        shipped = (SHIPPED / "prometheus.yml").read_text()
        shortened = re.sub(r"_interval: \d+s", "_interval: 1s", shipped)
        self._config = directory / "prometheus.yml"
        self._config.write_text(shortened)
        rules = (SHIPPED / "alerts.yml").read_text()
        (directory / "alerts.yml").write_text(rules)
        found = [
            {"targets": [address], "labels": {"job": job}}
            for job, address in targets.items()
        ]
        (directory / "targets.yml").write_text(json.dumps(found))  # which is YAML
        managers = [{"targets": [alertmanager]}]
        (directory / "alertmanagers.yml").write_text(json.dumps(managers))

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` and `value`.

        Raises:
            HTTPError: it cannot be evaluated.
        """
        answer = json.loads(self.get("/api/v1/query", query=promql))
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def alerts(self) -> set[str]:
        """Names of the alerts that fire, or will once they have lasted."""
        alerts = json.loads(self.get("/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts}

    def _command(self) -> list[str]:
        return [
            self._program,
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address={self.host}:{self.port}",
        ]

    def _is_ready(self) -> object:
        return self.get("/-/ready")


def names_served(exposition: str) -> Iterator[str]:
    """Names of all series of a scrape, those without a sample yet included."""
    for family in text_string_to_metric_families(exposition):
        yield from (sample.name for sample in family.samples)
        suffixes = {"counter": ["_total"], "histogram": ["_bucket"]}
        yield from (family.name + end for end in suffixes.get(family.type, [""]))


class Watched(NamedTuple):
    """A broker and a bridge, and who watches them."""

    broker: Mosquitto
    bridge: Bridge
    exporter: MqttExporter
    node: NodeExporter
    prometheus: Prometheus


@contextlib.contextmanager
def watched(directory: Path, **tables: Any) -> Iterator[Watched]:
    """All of it, running; `tables` are those of the bridge."""
    with contextlib.ExitStack() as stack:
        broker = Mosquitto(directory / "mosquitto")
        broker.start()
        stack.callback(broker.kill)
        bridge = Bridge(directory / "bridge", broker.url, **tables)
        bridge.start()
        stack.callback(bridge.kill)
        exporter = MqttExporter(directory / "exporter", broker)
        exporter.start()
        stack.callback(exporter.kill)
        node = NodeExporter(directory / "node")
        node.start()
        stack.callback(node.kill)
        targets = {
            "egiz-bridge": bridge.http,
            "mosquitto": f"{exporter.host}:{exporter.port}",
            "node": f"{node.host}:{node.port}",
        }
        prometheus = Prometheus(directory / "prometheus", targets)
        prometheus.start()
        stack.callback(prometheus.kill)
        yield Watched(broker, bridge, exporter, node, prometheus)
