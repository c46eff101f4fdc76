"""A restore of InfluxDB 1 by the documented commands finishes, and has every point."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from base64 import b64encode

import pytest
from rig import day
from rig.process import own_program
from rig.servers import REPOSITORY, HttpServer, InfluxDb

PAGE = REPOSITORY / "docs/operate/backup.md"


class Shipped(InfluxDb):
    """With our configuration and accounts: logins, and a limit of time for queries."""

    answers_within_s = 90  # beyond the limit, so that it is seen if that ends a query

    def __init__(self, directory, secrets):
        super().__init__(directory)
        self._secrets = secrets
        shipped = (REPOSITORY / "infra/influxdb/influxdb.conf").read_text()
        here = shipped.replace("/var/lib/influxdb", str(directory))
        here = here.replace("127.0.0.1:8086", f"{self.host}:{self.port}")
        assert 'query-timeout = "60s"' in here
        (directory / "influxdb.conf").write_text(here)

    def start(self):
        HttpServer.start(self)
        accounts = REPOSITORY / "infra/influxdb/accounts.py"
        credentials = {"CREDENTIALS_DIRECTORY": str(self._secrets)}
        subprocess.run(
            [sys.executable, accounts, self.url],
            env=os.environ | credentials,
            check=True,
        )

    def write(self, lines):
        where = urllib.parse.urlencode({"db": self.database, "precision": "ms"})
        request = urllib.request.Request(
            f"{self.url}/write?{where}", lines, self._as("bridge")
        )
        urllib.request.urlopen(request, timeout=30).close()

    def query_timeout(self):
        """What it says of itself."""
        query = urllib.parse.urlencode({"q": "SHOW DIAGNOSTICS"}).encode()
        request = urllib.request.Request(f"{self.url}/query", query, self._as("admin"))
        with urllib.request.urlopen(request, timeout=10) as answer:
            series = json.load(answer)["results"][0]["series"]
        (found,) = (one for one in series if one["name"] == "config-coordinator")
        (row,) = found["values"]
        return dict(zip(found["columns"], row, strict=True))["query-timeout"]

    def _login(self):
        return self._as("grafana")

    def _as(self, user):
        login = (self._secrets / f"influxdb-{user}").read_bytes()
        return {"Authorization": f"Basic {b64encode(login).decode()}"}


class Machine:
    """What `egiz-infra backup` looks for, with the database running."""

    def __init__(self, directory):
        self.etc, self.data = directory / "etc/egiz", directory / "lib"
        for name in ("egiz-bridge", "mosquitto"):
            (self.data / name).mkdir(parents=True)
        self.infra("init")
        for user in ("admin", "bridge", "grafana"):
            path = self.etc / f"secrets/influxdb-{user}"
            path.write_text(f"{user}:password-of-{user}")
        self.database = Shipped(self.data / "influxdb", self.etc / "secrets")
        self.database.start()

    def infra(self, *arguments):
        settings = {"EGIZ_DATA": str(self.data), "EGIZ_SAVE_BROKER": "false"}
        return subprocess.check_output(
            [own_program("egiz-infra"), "--directory", self.etc, *arguments],
            env=os.environ | settings,
            text=True,
        )


def _restore(machine, backup):
    """Run what the page says between stopping the services and starting them."""
    text = PAGE.read_text().partition("## Restore")[2]
    stop, *commands, start = re.search(r"```sh\n(.*?)\n```", text, re.DOTALL)[
        1
    ].splitlines()
    assert stop.startswith("systemctl stop ")
    assert start.startswith("systemctl start ")
    block = "\n".join(commands)
    for there, here in (("/var/lib", machine.data), ("/mnt/backup/monday", backup)):
        block = block.replace(there, str(here))
    subprocess.run(["bash", "-euc", block], check=True)


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.database.kill()


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(600, id="ten minutes"),
        pytest.param(86_400, id="a day", marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(3600)
def test_a_restore_has_every_point_whatever_the_limit_of_queries_is(
    machine, tmp_path, seconds
):
    steps = day.Steps()
    database, backup = machine.database, tmp_path / "backup"
    written = day.fill(database, database.write, seconds)
    steps.done(f"{written.points:,} points written")
    machine.infra("backup", backup)
    steps.done(f"backup of {(backup / 'influxdb.tar').stat().st_size:,} bytes")
    assert f"{written.points:,} influxdb telemetry" in " ".join(
        machine.infra("drill", backup).split()
    )
    steps.done("drill")
    # What is written after the backup is not in it.
    database.write(b"telemetry,device_id=later seq=1i")
    database.stop()
    shutil.rmtree(machine.etc)
    steps.done("stop")
    _restore(machine, backup)
    database.start()
    steps.done("restore, until it accepts logins")
    assert database.query_timeout() == "1m0s"
    assert day.found(database) == written
    steps.done("one query of all points")
