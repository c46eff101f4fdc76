"""Databases beside those of Debian 12."""

import json
from pathlib import Path

from rig.servers import HttpServer, VictoriaMetrics

from engines.cache import found


class VictoriaMetricsOfSid(VictoriaMetrics):
    """A newer one than this machine has."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._program = str(found("victoriametrics", "usr/bin/victoria-metrics"))


class VmAuth(HttpServer):
    """The proxy that asks for a token before VictoriaMetrics; `user` is how."""

    def __init__(
        self, directory: Path, database: VictoriaMetrics, user: dict[str, str]
    ) -> None:
        super().__init__(directory)
        users = [{**user, "url_prefix": database.url}]
        # JSON is YAML.
        (directory / "auth.yml").write_text(json.dumps({"users": users}))

    def _command(self) -> list[str]:
        return [
            str(found("victoriametrics", "usr/bin/vmauth")),
            f"-auth.config={self.directory}/auth.yml",
            f"-httpListenAddr={self.host}:{self.port}",
        ]

    def _is_ready(self) -> object:
        return self.get("/health") == b"OK"
