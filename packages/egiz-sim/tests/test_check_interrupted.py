"""`egiz-sim check`, interrupted in every way: the retained config is put back."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from rig.process import own_program, require
from rig.waiting import eventually

_TOPIC = "sensors/factory/oven-001/config"
_CONFIG = b'{"device_id":"oven-001","rev":41,"publish_rate_ms":200}'
_CHANGED = "config: a rate that is right, and a buffer"  # by then, it has sent one


@pytest.fixture
def broker(mosquitto):
    """Publish and read what is retained: `broker.kept()`."""

    def program(name, *arguments):
        path = require(name, "apt install mosquitto-clients")
        where = (
            "-i",
            "reader",
            "-h",
            mosquitto.host,
            "-p",
            str(mosquitto.port),
            "-t",
            _TOPIC,
        )
        done = subprocess.run(
            [path, *where, *arguments], capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    mosquitto.kept = lambda: program("mosquitto_sub", "-C", "1", "-W", "5")
    program("mosquitto_pub", "-r", "-q", "1", "-m", _CONFIG.decode())
    return mosquitto


@pytest.fixture
def device(launch, broker):
    """A light device that obeys."""
    options = ("--devices", "1", "--rate", "5", "--seconds", "600")
    running = launch("egiz-sim", "run", "--broker", broker.url, *options)
    running.wait_for("1/1 connected")
    return running


@pytest.fixture
def check(launch, broker, device):
    """A check that has changed the config of the device."""
    assert device.is_running()
    options = (
        "--broker",
        broker.url,
        "--device-id",
        "oven-001",
        "--interval-ms",
        "200",
    )
    running = launch("egiz-sim", "check", *options, "--answer", "60")
    running.wait_for(_CHANGED)
    assert broker.kept() != _CONFIG
    return running


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_each_signal_that_ends_it_puts_the_config_back(check, broker, number):
    check.signal(number)
    assert check.wait() == 130
    assert "Traceback" not in check.output()
    assert broker.kept() == _CONFIG


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_puts_it_back_without_the_waiting(
    check, broker, device, number
):
    device.kill()  # it would be waited for, for a minute
    check.signal(number)
    check.wait_for("putting back the config that was found")
    check.signal(number)
    assert check.wait(30) == 130
    assert "Traceback" not in check.output()
    assert "interrupted again: the config that was found is retained" in check.output()
    assert broker.kept() == _CONFIG


@pytest.mark.usefixtures("device")
def test_a_terminal_that_is_gone_keeps_it_from_nothing(broker):
    path = own_program("egiz-sim")
    options = ["--broker", broker.url, "--device-id", "oven-001", "--answer", "60"]
    process = subprocess.Popen(
        [path, "check", *options, "--interval-ms", "200"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while _CHANGED.encode() not in process.stderr.readline():
            pass
        process.stderr.close()  # what it says from now on is a broken pipe
        eventually(lambda: broker.kept() != _CONFIG)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert broker.kept() == _CONFIG


def test_a_wait_for_a_file_can_be_interrupted(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # it never writes
    options = ["--broker", "mqtts://127.0.0.1:1", "--ca", str(pipe)]
    command = [own_program("egiz-sim"), "check", "--device-id", "oven-001", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        eventually(lambda: _has_open(process.pid, pipe))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()
        os.close(writer)


def _has_open(pid, path):
    found = Path(f"/proc/{pid}/fd").glob("*")
    return any(os.path.realpath(one) == str(path) for one in found)
