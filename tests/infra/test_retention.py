"""How long InfluxDB keeps data: a setting, and a change by hand that stays."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rig.servers import REPOSITORY, InfluxDb

ACCOUNTS = REPOSITORY / "infra/influxdb/accounts.py"


@pytest.fixture
def start(influxdb, tmp_path):
    """What egiz-influxdb.service does after a start of InfluxDB."""
    influxdb.query("DROP DATABASE factory")
    for user in ("admin", "bridge", "grafana"):
        (tmp_path / f"influxdb-{user}").write_text(f"{user}:{user}")

    def run(retention="", *, remembers=True):
        given = {"EGIZ_RETENTION": retention, "CREDENTIALS_DIRECTORY": str(tmp_path)}
        if remembers:
            given["STATE_DIRECTORY"] = str(tmp_path)
        return subprocess.run(
            [sys.executable, ACCOUNTS, influxdb.url],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def _hours(influxdb: InfluxDb):
    (row,) = influxdb.query("SHOW RETENTION POLICIES ON factory")
    return row["duration"]


def test_a_retention_that_was_changed_by_hand_stays(start, influxdb):
    assert start().returncode == 0
    assert _hours(influxdb) == "720h0m0s"
    influxdb.query('ALTER RETENTION POLICY "autogen" ON factory DURATION 90d')
    for _ in range(2):
        done = start()
        assert done.returncode == 0, done.stderr
    assert _hours(influxdb) == "2160h0m0s"


def test_no_proxy_of_the_environment_gets_the_passwords(start, http_proxy):
    done = start()
    assert done.returncode == 0, done.stderr
    assert http_proxy == []


def test_another_setting_changes_it_once(start, influxdb):
    assert start("30d").returncode == 0
    assert start("52w").returncode == 0
    assert _hours(influxdb) == "8736h0m0s"
    influxdb.query('ALTER RETENTION POLICY "autogen" ON factory DURATION 10d')
    assert start("52w").returncode == 0
    assert _hours(influxdb) == "240h0m0s"
    assert start("INF").returncode == 0
    assert _hours(influxdb) == "0s"


@pytest.mark.parametrize("setting", ["1h", "47h", "2d", "179d", "52w", "INF"])
def test_shards_are_as_long_as_those_of_a_new_database_with_that_retention(
    start, influxdb, setting
):
    """Else a short one is refused, and a year of days is hundreds of open shards."""
    assert start("30d").returncode == 0
    done = start(setting)
    assert done.returncode == 0, done.stderr
    influxdb.query(f"CREATE DATABASE fresh WITH DURATION {setting}")
    policies = (
        influxdb.query(f"SHOW RETENTION POLICIES ON {name}")
        for name in ("factory", "fresh")
    )
    lengths = [row["shardGroupDuration"] for (row,) in policies]
    assert lengths[0] == lengths[1]


def test_a_database_of_an_earlier_version_keeps_its_own(start, influxdb):
    influxdb.query("CREATE DATABASE factory WITH DURATION 7d")
    assert start("30d").returncode == 0
    assert start("30d", remembers=False).returncode == 0
    assert _hours(influxdb) == "168h0m0s"


@pytest.mark.parametrize("wrong", ["0d", "30", "1y", "30d; DROP DATABASE x", "-1d"])
def test_what_is_no_duration_is_refused(start, influxdb, wrong):
    done = start(wrong)
    assert done.returncode == 1
    assert "EGIZ_RETENTION" in done.stderr
    assert start("30d").returncode == 0  # nothing was made with the wrong one
    assert _hours(influxdb) == "720h0m0s"


def test_half_a_record_changes_no_retention(start, influxdb, tmp_path):
    assert start().returncode == 0
    influxdb.query('ALTER RETENTION POLICY "autogen" ON factory DURATION 90d')
    (tmp_path / "retention").write_text("")  # the disk was full
    assert start().returncode == 0
    assert _hours(influxdb) == "2160h0m0s"
    assert (tmp_path / "retention").read_text() == "30d"


@pytest.mark.parametrize("text", [b"", b"bridge:", b"bridge:\r\n", b"\xff\xfe"])
def test_an_account_without_a_password_is_not_made(start, influxdb, tmp_path, text):
    assert start().returncode == 0
    influxdb.query("DROP USER bridge")
    (tmp_path / "influxdb-bridge").write_bytes(text)
    done = start()
    assert done.returncode == 1
    assert f"{tmp_path}/influxdb-bridge" in done.stderr
    assert "Traceback" not in done.stderr
    assert "bridge" not in _users(influxdb)


def _users(influxdb):
    return [row["user"] for row in influxdb.query("SHOW USERS")]


@pytest.mark.parametrize(
    "answer",
    [(200, "<html>"), (200, "{}"), (200, "[1]"), (503, "<html>"), (404, "[]")],
)
def test_another_server_at_the_address_is_said_in_words(tmp_path, answer):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def do_POST(self):
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1].encode())

        def log_message(self, *_):
            pass

    (tmp_path / "influxdb-admin").write_text("admin:Secret-1")
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = subprocess.run(
            [sys.executable, ACCOUNTS, f"http://127.0.0.1:{server.server_port}"],
            env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Secret" not in done.stderr
    assert f"http://127.0.0.1:{server.server_port}" in done.stderr
