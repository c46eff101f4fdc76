"""A machine as `infra/install.sh --prefix` lays it out, its services started by us."""

import base64
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from rig.process import free_port
from rig.servers import REPOSITORY
from rig.units import Unit

INSTALL = REPOSITORY / "infra/install.sh"
SERVICES = (
    "mosquitto",
    "influxdb",
    "egiz-influxdb",
    "prometheus-mqtt-exporter",
    "egiz-certificates",
    "prometheus-node-exporter",
    "prometheus",
    "egiz-bridge",
)
# Each a variable of the environment, EGIZ_DEVICES and so on, and an address:port.
ADDRESSES = (
    "DEVICES",
    "DEVICES_TLS12",
    "SERVICES",
    "INFLUXDB",
    "BRIDGE",
    "EXPORTER",
    "NODE",
    "PROMETHEUS",
)


class Machine:
    """One tree, on ports of its own."""

    def __init__(self, root: Path, wheels: Path) -> None:
        self.root = root
        self.etc = root / "etc/egiz"
        self.ports = {name: free_port() for name in ADDRESSES}
        self.units: dict[str, Unit] = {}
        self._wheels = wheels

    def install(self, **settings: str) -> str:
        """Run install.sh; gives its output."""
        command = ["sh", INSTALL, "--prefix", self.root, "--wheels", self._wheels]
        return _output_of(command, settings)

    def addresses(self) -> dict[str, str]:
        """The settings that make it listen on its own ports."""
        return {f"EGIZ_{n}": f"127.0.0.1:{port}" for n, port in self.ports.items()}

    def start(self) -> None:
        """Start the services, until a message would be stored."""
        for name in SERVICES:
            self.units[name] = Unit(self.root, name)
            self.units[name].start()
        self.units["egiz-bridge"].process.wait_until(
            lambda: self.get("BRIDGE", "/readyz")[0] == 200, timeout=60
        )

    def stop(self) -> dict[str, int]:
        """Stop them, the last one first; gives the exit codes."""
        units = [self.units[name] for name in reversed(SERVICES)]
        return {unit.name: unit.stop() for unit in units if not unit.is_one_shot}

    def infra(self, *arguments: str) -> str:
        """The operator's `egiz-infra`; gives its output."""
        reload = f"kill -HUP {self.units['mosquitto'].process.pid}"
        program = self.root / "usr/local/sbin/egiz-infra"
        return _output_of([program, *arguments], {"EGIZ_RELOAD": reload})

    def secret(self, name: str) -> str:
        """A password; those of the database are `user:password`."""
        return (self.etc / "secrets" / name).read_text()

    def get(
        self, service: str, path: str, login: str = "", body: bytes | None = None
    ) -> tuple[int, str]:
        """(status, body) of a service's HTTP server; with a body, of a POST."""
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        request = urllib.request.Request(url, body)
        if login:
            text = base64.b64encode(login.encode()).decode()
            request.add_header("Authorization", f"Basic {text}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def rows(self, login: str, query: str) -> tuple[int, list[list[Any]]]:
        """(status, rows) as the database gives them to `login`; times are in ms."""
        where = urllib.parse.urlencode({"db": "factory", "epoch": "ms"})
        form = urllib.parse.urlencode({"q": query}).encode()
        status, body = self.get("INFLUXDB", f"/query?{where}", login, form)
        if status != 200:
            return status, []
        (result,) = json.loads(body)["results"]
        assert "error" not in result, result
        series = result.get("series", [])
        return status, [row for one in series for row in one["values"]]

    def tls_of(self, device: str) -> ssl.SSLContext:
        """What a device connects with: TLS 1.3, and the certificate issued to it."""
        issued = self.etc / "issued" / device
        key = base64.encodebytes((issued / "key.der").read_bytes()).decode()
        pem = self.root / f"{device}.pem"
        pem.write_text(
            f"-----BEGIN EC PRIVATE KEY-----\n{key}-----END EC PRIVATE KEY-----\n"
            + ssl.DER_cert_to_PEM_cert((issued / "certificate.der").read_bytes())
        )
        context = self.anonymous_tls()
        context.load_cert_chain(pem)
        return context

    def anonymous_tls(self) -> ssl.SSLContext:
        """TLS 1.3 with a client that shows no certificate."""
        context = ssl.create_default_context(cafile=self.etc / "broker/ca.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def _output_of(command: list[Any], settings: dict[str, str]) -> str:
    own = {k: v for k, v in os.environ.items() if not k.startswith("EGIZ_")}
    done = subprocess.run(
        command, env=own | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
