"""An alert reaches people: Prometheus, Alertmanager, a webhook, as we ship them."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rig.monitoring import SHIPPED, Alertmanager, Prometheus
from rig.process import free_port, require
from rig.waiting import eventually


def test_amtool_finds_no_fault():
    amtool = require("amtool", "apt install prometheus-alertmanager")
    done = subprocess.run(
        [amtool, "check-config", SHIPPED / "alertmanager.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def webhook():
    """Its address, and what it has received."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(size)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bridge_that_is_down_is_a_message_with_the_address_of_its_runbook(
    webhook, tmp_path
):
    url, received = webhook
    manager = Alertmanager(tmp_path / "alertmanager", url)
    manager.start()
    nowhere = f"127.0.0.1:{free_port()}"
    address = f"{manager.host}:{manager.port}"
    targets = {"egiz-bridge": nowhere, "mosquitto": nowhere}
    prometheus = Prometheus(tmp_path / "prometheus", targets, address)
    rules = tmp_path / "prometheus/alerts.yml"
    # Its delay of a minute is that of the alert, which promtool tests.
    rules.write_text(rules.read_text().replace("for: 1m", "for: 1s"))
    prometheus.start()
    try:
        groups = eventually(lambda: _of(received, "BridgeDown"), 60)
    finally:
        prometheus.kill()
        manager.kill()
    assert groups[0]["receiver"] == "people"
    (alert,) = groups[0]["alerts"]
    assert alert["status"] == "firing"
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "The bridge is down"
    runbook = "http://localhost:8000/runbook.html#bridgedown"
    assert alert["annotations"]["runbook_url"] == runbook


def _of(received, name):
    return [
        one
        for one in received
        if one["groupLabels"] == {"alertname": name} and one["status"] == "firing"
    ]
