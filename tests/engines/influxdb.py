"""InfluxDB 2: its own accounts, and tokens made by the script that we ship."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from rig.servers import REPOSITORY, InfluxQl

from engines.cache import found

ORG = "egiz"
ADMIN_TOKEN = "the-admins-token"


class InfluxDb2(InfluxQl):
    """With one bucket; InfluxQL is answered by its v1 API.

    Attributes:
        write_token: file of the token that may write, not read.
        read_token: file of the token that may read, not write.
    """

    def __init__(self, directory: Path, retention_s: int = 0) -> None:
        super().__init__(directory)
        self._retention_s = retention_s
        self.write_token = directory / "write/token"
        self.read_token = directory / "read/token"
        for token in (self.write_token, self.read_token):
            token.parent.mkdir()

    @property
    def table(self) -> dict[str, Any]:
        """What a bridge that writes it has as [influxdb]."""
        where = {"url": self.url, "org": ORG, "bucket": self.database}
        return {**where, "token_file": str(self.write_token)}

    def start(self) -> None:
        """Start it; at the first start with organisation, bucket and tokens."""
        super().start()
        if not self.read_token.exists():
            self._set_up()
            self.make_tokens()

    def make_tokens(self) -> None:
        """Run infra/influxdb/tokens.sh, as its image does at the first start."""
        program = found("influxdb", "influx")
        env = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),  # no configuration of a user
            "INFLUX_HOST": self.url,
            "INFLUX_TOKEN": ADMIN_TOKEN,
            "DOCKER_INFLUXDB_INIT_BUCKET": self.database,
            "DOCKER_INFLUXDB_INIT_ORG": ORG,
            "EGIZ_WRITE_TOKEN": str(self.write_token.parent),
            "EGIZ_READ_TOKEN": str(self.read_token.parent),
        }
        script = REPOSITORY / "infra/influxdb/tokens.sh"
        done = subprocess.run(
            ["bash", script], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def write(self, lines: bytes) -> None:
        """Write line protocol, precision ms."""
        where = f"org={ORG}&bucket={self.database}&precision=ms"
        login = {"Authorization": f"Token {self.write_token.read_text()}"}
        url = f"{self.url}/api/v2/write?{where}"
        request = urllib.request.Request(url, lines, login)
        urllib.request.urlopen(request, timeout=10).close()

    def _set_up(self) -> None:
        wanted = {
            "username": "admin",
            "password": "admin-of-a-test",
            "org": ORG,
            "bucket": self.database,
            "retentionPeriodSeconds": self._retention_s,
            "token": ADMIN_TOKEN,
        }
        url, body = f"{self.url}/api/v2/setup", json.dumps(wanted).encode()
        urllib.request.urlopen(url, body, timeout=30).close()

    def _login(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.read_token.read_text()}"}

    def _command(self) -> list[str]:
        return [
            str(found("influxdb", "influxd")),
            f"--http-bind-address={self.host}:{self.port}",
            f"--bolt-path={self.directory}/bolt",
            f"--engine-path={self.directory}/engine",
            f"--sqlite-path={self.directory}/sqlite",
            "--reporting-disabled",
        ]

    def _is_ready(self) -> object:
        return json.loads(self.get("/health"))["status"] == "pass"
