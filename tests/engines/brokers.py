"""Brokers other than the one that Debian 12 has, one node or several."""

import json
import os
import socket
import urllib.request
from pathlib import Path

from rig.process import free_port
from rig.proxy import Proxy
from rig.servers import Mosquitto, Server

from engines.cache import found, script, with_its_libraries

# 2.1 only: writes each message to the disk before it is acknowledged.
_SAFE = """
persistence false
plugin {plugin}
plugin_opt_db_file {directory}/mosquitto.sqlite
plugin_opt_flush_period 0
plugin_opt_sync full
"""


def mosquitto_of(release: str, directory: Path) -> str:
    """A PATH on which `mosquitto` is that of a release of Debian."""
    command = with_its_libraries(f"mosquitto-{release}", "usr/sbin/mosquitto")
    script(directory / "mosquitto", command)
    return f"{directory}:{os.environ['PATH']}"


class SafeMosquitto(Mosquitto):
    """Mosquitto 2.1 that forgets nothing at a SIGKILL; it must be first on PATH."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        name = "usr/lib/x86_64-linux-gnu/mosquitto/mosquitto_persist_sqlite.so"
        safe = _SAFE.format(plugin=found("mosquitto-sid", name), directory=directory)
        main = directory / "mosquitto.conf"
        lines = main.read_text().splitlines()
        kept = [line for line in lines if not line.startswith(_OWN_PERSISTENCE)]
        main.write_text("\n".join(kept) + safe)


_OWN_PERSISTENCE = ("persistence ", "persistence_location", "autosave_interval")


class Node(Server):
    """One of a cluster, with a port for MQTT."""

    @property
    def url(self) -> str:
        """Where it speaks MQTT."""
        return f"mqtt://{self.host}:{self.port}"

    def _is_ready(self) -> object:
        with socket.create_connection((self.host, self.port), timeout=5):
            return True


class NatsNode(Node):
    """NATS with JetStream and MQTT; `routes` are the cluster ports of all nodes."""

    def __init__(
        self, directory: Path, number: int, routes: list[int], settings: str
    ) -> None:
        super().__init__(directory)
        self._health = free_port()
        urls = [f"nats-route://{self.host}:{port}" for port in routes]
        cluster = f'name: egiz, listen: "{self.host}:{routes[number]}"'
        (directory / "nats.conf").write_text(
            f"""
            server_name: n{number}
            listen: "{self.host}:{free_port()}"
            http: "{self.host}:{self._health}"
            jetstream {{ store_dir: "{directory}/store", max_file: 8G }}
            mqtt {{ listen: "{self.host}:{self.port}", {settings} }}
            cluster {{ {cluster}, routes: {json.dumps(urls)} }}
            """
        )

    def _command(self) -> list[str]:
        program = found("nats", "usr/sbin/nats-server")
        return [str(program), "-c", str(self.directory / "nats.conf")]

    def _is_ready(self) -> object:
        """With a leader for what is replicated, which a cluster has when two run."""
        url = f"http://{self.host}:{self._health}/healthz"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200


class FirstThatAnswers(Proxy):
    """One address for a cluster, as a load balancer gives to devices."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        super().__init__(nodes[0].host, nodes[0].port)

    def _connect(self) -> socket.socket:
        for node in self._nodes[:-1]:
            try:
                return socket.create_connection((node.host, node.port), timeout=5)
            except OSError:
                continue
        last = self._nodes[-1]
        return socket.create_connection((last.host, last.port), timeout=5)
