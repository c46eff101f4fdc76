"""The servers: started on free loopback ports, with their data under one directory."""

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from rig.process import Process, free_port, require

REPOSITORY = Path(__file__).parents[2]


class Server(ABC):
    """A server that can be stopped, killed and started again with its data."""

    host = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.port = free_port()
        self._log = directory / "log"
        self._process: Process | None = None

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port and with the same data as before."""
        self.launch()
        self.until_ready()

    def launch(self) -> None:
        """Start it, and do not wait: one of a cluster is ready when the others are."""
        self._process = Process(self._command(), self._log)

    def until_ready(self) -> None:
        """Wait until it can be used."""
        assert self._process is not None
        self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        """Stop it as a service manager would."""
        if self._process is not None:
            self._process.terminate()
            self._process = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _is_ready(self) -> object: ...


def ends_without_a_list() -> bool:
    """Whether this Mosquitto ends at an access list that it cannot read: from 2.1 on.

    Before, it goes on without a list.
    """
    command = [require("mosquitto", "apt install mosquitto"), "-h"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.match(r"mosquitto version (\d+)\.(\d+)", shown)
    assert found, shown
    return (int(found[1]), int(found[2])) >= (2, 1)


class Mosquitto(Server):
    """Mosquitto with the configuration that the project ships, as for a demo."""

    listeners: tuple[str, ...] = ("demo.conf",)

    def __init__(self, directory: Path, extra: str = "") -> None:
        super().__init__(directory)
        self._program = require("mosquitto", "apt install mosquitto")
        self._ship("mosquitto.conf", directory)
        (directory / "conf.d").mkdir()
        for name in self.listeners:
            self._ship(name, directory / "conf.d")
        # Started by root, it would give up its rights, also those to this directory.
        (directory / "conf.d" / "rig.conf").write_text(f"user root\n{extra}\n")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://{self.host}:{self.port}"

    def orders(self) -> dict[str, bytes]:
        """Configs and commands that it keeps: topic -> payload."""
        program = require("mosquitto_sub", "apt install mosquitto-clients")
        topics = ("-t", "sensors/+/+/config", "-t", "sensors/+/+/command")
        options = ("-i", "reader", "-v", "--retained-only", "-W", "1", "-h", self.host)
        done = subprocess.run(
            [program, *options, "-p", str(self.port), *topics],
            capture_output=True,
            check=False,
            timeout=60,
        )
        lines = [line.partition(b" ") for line in done.stdout.splitlines()]
        return {topic.decode(): payload for topic, _, payload in lines}

    def _substitutions(self) -> dict[str, str]:
        """What differs from the shipped files: ports and paths, nothing else."""
        return {
            "listener 1883 127.0.0.1": f"listener {self.port} {self.host}",
            "/var/lib/mosquitto/": f"{self.directory}/",
            "/etc/mosquitto/conf.d": f"{self.directory}/conf.d",
        }

    def _ship(self, name: str, to: Path) -> None:
        text = (REPOSITORY / "infra/mosquitto" / name).read_text()
        for shipped, here in self._substitutions().items():
            text = text.replace(shipped, here)
        (to / name).write_text(text)

    def _command(self) -> list[str]:
        return [self._program, "-c", str(self.directory / "mosquitto.conf")]

    def _is_ready(self) -> object:
        with socket.create_connection((self.host, self.port), timeout=5):
            return True


class Chrony(Server):
    """An NTP server that serves the time of this machine and does not set it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._program = require("chronyd", "apt install chrony")
        (directory / "chrony.conf").write_text(
            f"""
            port {self.port}
            bindaddress {self.host}
            allow {self.host}
            local stratum 3
            cmdport 0
            user root
            pidfile {directory}/pid
            """
        )

    def _command(self) -> list[str]:
        return [self._program, "-d", "-x", "-f", str(self.directory / "chrony.conf")]

    def _is_ready(self) -> object:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect((self.host, self.port))
            client.send(b"\x23" + bytes(47))
            return client.recv(48)


class HttpServer(Server):
    """A server that is spoken to over HTTP."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    def get(self, path: str, **query: str) -> bytes:
        """The body of what it answers to a GET."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
            return body


class InfluxQl(HttpServer):
    """A server that answers InfluxQL."""

    database = "factory"
    answers_within_s = 10

    @property
    @abstractmethod
    def table(self) -> dict[str, Any]:
        """What a bridge that writes it has as [influxdb]."""

    def query(self, influxql: str) -> list[dict[str, Any]]:
        """The rows of a query, tags included; `time` is milliseconds since 1970."""
        body = urllib.parse.urlencode({"q": influxql}).encode()
        where = urllib.parse.urlencode({"db": self.database, "epoch": "ms"})
        url = f"{self.url}/query?{where}"
        request = urllib.request.Request(url, body, self._login())
        with urllib.request.urlopen(request, timeout=self.answers_within_s) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def _login(self) -> dict[str, str]:
        """Headers."""
        return {}


class InfluxDb(InfluxQl):
    """InfluxDB 1, with one database."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._program = require("influxd", "apt install influxdb")
        (directory / "influxdb.conf").write_text(
            f"""
            reporting-disabled = true
            bind-address = "{self.host}:{free_port()}"
            [meta]
            dir = "{directory}/meta"
            [data]
            dir = "{directory}/data"
            wal-dir = "{directory}/wal"
            [monitor]
            store-enabled = false
            [http]
            bind-address = "{self.host}:{self.port}"
            log-enabled = false
            """
        )

    @property
    def table(self) -> dict[str, Any]:
        """What a bridge that writes it has as [influxdb]."""
        return {"url": self.url, "api": "v1", "database": self.database}

    def start(self) -> None:
        """Start it; the database is made if it is not there."""
        super().start()
        self.query(f"CREATE DATABASE {self.database}")

    def write(self, lines: bytes) -> None:
        """Write line protocol, precision ms."""
        where = urllib.parse.urlencode({"db": self.database, "precision": "ms"})
        urllib.request.urlopen(f"{self.url}/write?{where}", lines, timeout=10).close()

    def _command(self) -> list[str]:
        return [self._program, "-config", str(self.directory / "influxdb.conf")]

    def _is_ready(self) -> object:
        self.get("/ping")
        return True


class VictoriaMetrics(HttpServer):
    """VictoriaMetrics; its /api/v2/write is that of InfluxDB 2."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._program = require("victoria-metrics", "apt install victoria-metrics")

    def series(self, match: str = '{device_id!=""}') -> list[dict[str, Any]]:
        """All series, each with `metric`, `values` and `timestamps` (ms)."""
        self.get("/internal/force_flush")
        exported = self.get("/api/v1/export", **{"match[]": match})
        return [json.loads(line) for line in exported.splitlines()]

    def _command(self) -> list[str]:
        return [
            self._program,
            f"-httpListenAddr={self.host}:{self.port}",
            f"-storageDataPath={self.directory}/data",
            "-retentionPeriod=100y",
            # Without it, a sample that is written twice is kept twice.
            "-dedup.minScrapeInterval=1ms",
            "-search.latencyOffset=0s",
        ]

    def _is_ready(self) -> object:
        return self.get("/health") == b"OK"
