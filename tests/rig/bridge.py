"""The bridge of a test: its configuration, its metrics, its process."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from rig.process import Process, free_port, own_program


class Bridge:
    """`egiz-bridge run` on a configuration of its own; may be killed and run again."""

    def __init__(self, directory: Path, broker_url: str, **tables: Any) -> None:
        directory.mkdir()
        self.directory = directory
        self.archive = directory / "archive.sqlite"
        self.spool = directory / "spool.sqlite"
        self.http = f"127.0.0.1:{free_port()}"
        tables = {
            "mqtt": {"url": broker_url},
            "spool": {"path": str(self.spool)},
            "http": {"listen": self.http},
            **tables,
        }
        if "archive" in tables:
            tables["archive"] = {"path": str(self.archive), **tables["archive"]}
        self.config = directory / "bridge.toml"
        self.config.write_text(_toml(tables))
        self.process: Process | None = None

    def start(self, wait: bool = True, env: Mapping[str, str] | None = None) -> None:
        """Run it; by default until it is subscribed."""
        command = [own_program("egiz-bridge"), "run", "--config", str(self.config)]
        self.process = Process(command, self.directory / "log", env)
        if wait:
            self.process.wait_until(lambda: self.metrics()["mqtt_connected"])

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process is not None
        code = self.process.terminate()
        self.process = None
        return code

    @property
    def log(self) -> str:
        """What it has written so far, over all runs."""
        return (self.directory / "log").read_text()

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of its HTTP server; raises OSError if it does not serve."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Its metrics: name without prefix, and label values, as `sink_up/archive`."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                name = sample.name.removeprefix("egiz_bridge_")
                found["/".join([name, *sample.labels.values()])] = sample.value
        return found


def _toml(tables: dict[str, Any]) -> str:
    lines = []
    for table, given in tables.items():
        several = isinstance(given, list)
        for keys in given if several else [given]:
            lines.append(f"[[{table}]]" if several else f"[{table}]")
            # JSON's strings, numbers and lists are TOML's too.
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"
