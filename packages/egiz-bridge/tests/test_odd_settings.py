"""Values of the right type that cannot be used are refused by name, at any time."""

import os
import re
import signal

import pytest
from egiz_bridge.config import settings
from egiz_bridge.config.secret import read_secret
from egiz_bridge.errors import ConfigError

LONG = 65_536
# Beyond what one line of MQTT, of a host name or of Python's integers can be.
ODD = [
    ('[mqtt]\nurl = "mqtt://a..b:1883"', "mqtt.url"),
    (f'[mqtt]\nurl = "mqtt://{"a" * 64}.example:1883"', "mqtt.url"),
    ('[mqtt]\nurl = "mqtt://one:1883, mqtt://a..b:1883"', "mqtt.url"),
    ('[influxdb]\nurl = "http://a..b:8086"\nbucket = "b"', "influxdb.url"),
    ('[http]\nlisten = "a..b:9471"', "http.listen"),
    (f'[mqtt]\nusername = "{"x" * LONG}"', "mqtt.username"),
    ('[mqtt]\nusername = "a\\u0000b"', "mqtt.username"),
    ('[mqtt]\nclient_id = "a\\u0000b"', "mqtt.client_id"),
    ('[mqtt]\nusername="u"\npassword_file = "a\\u0000b"', "mqtt.password_file"),
    ('[mqtt]\nurl = "mqtts://h"\nca_file = "a\\u0000b"', "mqtt.ca_file"),
    (
        '[influxdb]\nurl = "http://h"\nbucket = "b"\ntoken_file = "a\\u0000b"',
        "influxdb.token_file",
    ),
    ('[archive]\npath = "a\\u0000b"', "archive.path"),
    ('[spool]\npath = "a\\u0000b"', "spool.path"),
    ("[archive]\nretention_days = 36501", "archive.retention_days"),
    ("[spool]\nmax_age_days = 999999999999", "spool.max_age_days"),
    ('[influxdb]\nurl = "http://h:1?db=x"\nbucket = "b"', "influxdb.url"),
    ('[influxdb]\nurl = "http://h:1/path?"\nbucket = "b"', "influxdb.url"),
    ('[influxdb]\nurl = "http://h:1/#x"\nbucket = "b"', "influxdb.url"),
    (f"[spool]\nmax_bytes = {'9' * 5000}", "not TOML"),
]


def _file(tmp_path, text):
    path = tmp_path / "bridge.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("text", "key"), ODD)
def test_an_odd_value_is_refused_with_its_key(tmp_path, text, key):
    with pytest.raises(ConfigError) as caught:
        settings.load(_file(tmp_path, text))
    (problem,) = caught.value.problems
    assert key in problem
    assert len(problem) < 300


def test_names_that_are_well_are_not_refused(tmp_path):
    text = (
        '[mqtt]\nurl = "mqtt://[::1]:1883, mqtt://a-b.example:1, mqtt://a.b.:1"\n'
        f'username = "{"ü" * 100}"\n[http]\nlisten = "[::1]:0"\n'
    )
    assert settings.load(_file(tmp_path, text)).mqtt.username == "ü" * 100


def test_a_secret_that_no_packet_can_carry_is_refused_unseen(tmp_path):
    path = tmp_path / "secret"
    path.write_text("ü" * (LONG // 2))
    with pytest.raises(ConfigError, match=r"65,535 bytes") as caught:
        read_secret("mqtt.password_file", path)
    assert "ü" not in str(caught.value)
    path.write_text("x" * (LONG - 1))
    assert read_secret("mqtt.password_file", path) == "x" * (LONG - 1)


@pytest.mark.parametrize(("text", "key"), ODD[:3])
def test_a_running_bridge_refuses_it_and_goes_on(mosquitto, bridge, text, key):
    running = bridge(mosquitto.url, archive={})
    running.start()
    rest = running.config.read_text().partition("[spool]")[2]
    running.config.write_text(f"{text}\n[spool]{rest}")
    running.process.signal(signal.SIGHUP)
    running.process.wait_until(lambda: "reload refused" in running.log)
    assert key in running.log
    assert running.get("/readyz")[0] == 200
    assert "Traceback" not in running.log


@pytest.mark.parametrize("table", ["archive", "spool"])
@pytest.mark.parametrize("kind", ["fifo", "directory", "/dev/null"])
def test_check_refuses_what_is_no_file_to_write_to(
    bridge, launch, tmp_path, table, kind
):
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    running = bridge("mqtt://127.0.0.1:1", **{table: {"path": str(path)}})
    ended = launch("egiz-bridge", "check", "--config", str(running.config))
    assert ended.wait(20) == 1
    assert re.search(rf"{table}\.path.*{path} is no regular file", ended.output())
