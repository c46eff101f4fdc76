"""Databases beside those of Debian 12."""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rig.process import free_port
from rig.servers import HttpServer, VictoriaMetrics
from rig.stored import Points

from engines.cache import found

KINDS = ("telemetry", "status")


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


class QuestDb(HttpServer):
    """QuestDB; with an `account`, as user:password, it asks for it."""

    def __init__(self, directory: Path, account: str = "") -> None:
        super().__init__(directory)
        self._account = account
        user, _, password = account.partition(":")
        (directory / "conf").mkdir()
        (directory / "conf/server.conf").write_text(
            f"""
http.bind.to={self.host}:{self.port}
pg.net.bind.to={self.host}:{free_port()}
line.tcp.net.bind.to={self.host}:{free_port()}
http.min.net.bind.to={self.host}:{free_port()}
telemetry.enabled=false
shared.worker.count=2
http.user={user}
http.password={password}
"""
        )

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        url = f"{self.url}/exec?{urllib.parse.urlencode({'query': sql})}"
        request = urllib.request.Request(url, headers=self._headers())
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        names = [column["name"] for column in found.get("columns", [])]
        return [dict(zip(names, row, strict=True)) for row in found.get("dataset", [])]

    def _headers(self) -> dict[str, str]:
        if not self._account:
            return {}
        known = base64.b64encode(self._account.encode()).decode()
        return {"Authorization": f"Basic {known}"}

    def _command(self) -> list[str]:
        jar = str(found("questdb.jar"))
        main = "io.questdb/io.questdb.ServerMain"
        return ["java", "-Xmx1g", "-p", jar, "-m", main, "-d", str(self.directory)]

    def _is_ready(self) -> object:
        return self.query("select 1")


def in_questdb(server: QuestDb, kinds: Sequence[str] = KINDS) -> Points:
    """All of it by kind, device id and time in ms; a repeat is an error."""
    points: Points = {}
    for kind in kinds:
        for row in server.query(f"select * from {kind}"):
            time = datetime.fromisoformat(row["timestamp"])
            key = (kind, row["device_id"], round(time.timestamp() * 1000))
            assert key not in points
            points[key] = {name: row[name] for name in row if row[name] is not None}
    return points
