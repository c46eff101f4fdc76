"""Files of the configuration that are pipes and devices: no wait without an end."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from egiz_bridge.config import small_file
from egiz_bridge.config.secret import Secret, read_secret
from egiz_bridge.config.settings import load
from egiz_bridge.config.tables import Mqtt
from egiz_bridge.config.tls import TlsFiles
from egiz_bridge.errors import ConfigError
from egiz_bridge.mqtt.certificates import expiries
from rig.process import own_program
from rig.waiting import eventually

CONFIG = '[mqtt]\nurl = "mqtt://a:1"\n'


@pytest.fixture(params=["fifo", "/dev/zero", "socket", "directory"])
def odd(request, tmp_path):
    """A file that has no end, or no content."""
    path = tmp_path / request.param
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "directory":
        path.mkdir()
    elif request.param == "socket":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
            one.bind(str(path))
    return path


@pytest.mark.parametrize(
    "read",
    [
        load,
        lambda path: read_secret("mqtt.password_file", path),
        lambda path: TlsFiles("mqtt", path, None, None).context(),
        lambda path: TlsFiles("mqtt", None, path, None).context(),
        lambda path: TlsFiles("mqtt", None, __file__, path).context(),
    ],
    ids=["config", "secret", "ca", "certificate", "key"],
)
def test_an_odd_file_is_refused_at_once_with_its_name(read, odd):
    begun = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read(odd)
    assert str(odd) in str(caught.value)
    assert time.monotonic() - begun < 3


def test_certificates_of_an_odd_file_have_no_expiry(odd):
    mqtt = Mqtt.model_construct(certificate_file=odd, ca_file=odd)
    assert expiries(mqtt) == {}


def test_a_secret_has_64_kib_at_most_and_a_configuration_a_megabyte(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\n" * 65_000 + b"secret")
    assert read_secret("influxdb.token_file", path) == "secret"
    path.write_bytes(b"\n" * 66_000 + b"secret")
    with pytest.raises(ConfigError, match="65,536 bytes"):
        read_secret("influxdb.token_file", path)
    path.write_text(CONFIG + "#" * 900_000)
    assert load(path).mqtt.url[0].host == "a"
    path.write_text(CONFIG + "#" * 1_000_000)
    with pytest.raises(ConfigError, match="1,000,000 bytes"):
        load(path)


def test_a_configuration_may_come_through_a_pipe_with_pauses(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write():
        with path.open("w") as file:
            for part in CONFIG:
                file.write(part)
                file.flush()
                time.sleep(0.02)

    # Opened for both, so that the reader finds a writer.
    keeps = os.open(path, os.O_RDWR)
    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)
    threading.Timer(1.5, os.close, [keeps]).start()
    assert load(path).mqtt.url[0].host == "a"
    writer.join()


def test_a_pipe_that_is_not_ended_is_refused_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(small_file, "_PIPE_S", 0.3)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    keeps = os.open(path, os.O_RDWR)
    os.write(keeps, CONFIG.encode())
    with pytest.raises(ConfigError, match="no end within"):
        load(path)
    os.close(keeps)


def test_check_reads_what_a_command_prints(tmp_path):
    script = f"{own_program('egiz-bridge')} check --config <(sleep 1; echo '[mqt]')"
    done = subprocess.run(  # ours
        ["/bin/bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "mqt: no such key; is mqtt meant?" in done.stderr


@pytest.mark.parametrize("name", ["bridge.toml", "password"])
def test_a_pipe_in_place_of_a_file_stops_no_running_bridge(
    mosquitto, bridge, tmp_path, name
):
    password = tmp_path / "password"
    password.write_text("secret")
    running = bridge(mosquitto.url, archive={})
    text = running.config.read_text()
    account = f'[mqtt]\nusername = "u"\npassword_file = "{password}"\n'
    running.config.write_text(text.replace("[mqtt]\n", account))
    running.start()
    path = password if name == "password" else Path(running.config)
    path.unlink()
    os.mkfifo(path)
    running.process.signal(signal.SIGHUP)
    eventually(lambda: "reload refused" in running.log)
    assert running.get("/healthz")[0] == 200
    begun = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - begun < 10


def test_a_secret_that_a_link_changes_is_read_again(tmp_path):
    """As Kubernetes does it: the size stays the same, and so may the time."""
    for name, text in (("..1", "old"), ("..2", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(text)
        os.utime(tmp_path / name / "token", (1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "token").symlink_to("..data/token")
    secret = Secret("influxdb.token_file", tmp_path / "token")
    assert secret.read() == "old"
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert secret.read() == "new"
