"""`egiz-edge`, as a person types it."""

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time

import egiz_edge_tools.virtual_board as board
import pytest
import trustme
from click.testing import CliRunner
from egiz_cli.tls_files import as_der
from egiz_edge_tools import __version__
from egiz_edge_tools.cli import main
from egiz_infra.authority import Subject
from egiz_schema import Command, Topic, encode
from rig.process import own_program
from rig.waiting import eventually


def test_run_starts_a_device_and_ctrl_c_disconnects_it(launch, mosquitto, live):
    running = launch(
        "egiz-edge",
        *("run", "--broker", mosquitto.url, "--facility", "bakery"),
        *("--device-id", "oven-007", "--publish-ms", "500"),
    )
    eventually(lambda: len(live.messages("oven-007", "telemetry")) >= 3)
    assert running.interrupt() == 0
    totals = json.loads(running.output().splitlines()[-1])
    assert totals["device_id"] == "oven-007"
    assert totals["unacked"] == 0
    eventually(lambda: live.messages("oven-007", "status")[-1].state == "offline")
    assert totals["acked"] == {
        kind: len(live.messages("oven-007", kind)) for kind in ("telemetry", "status")
    }


@pytest.mark.parametrize("output", ["> /dev/full", "| true"])
def test_a_console_that_nothing_reads_ends_it_and_the_device_disconnects(
    mosquitto, live, tmp_path, output
):
    line = f"{own_program('egiz-edge')} run --broker {mosquitto.url} --publish-ms 500"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        ["bash", "-c", f"{line} {output}\nexit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == (1 if "full" in output else 141), done.stderr
    assert list(scratch.iterdir()) == []
    eventually(lambda: live.messages("oven-001", "status")[-1].state == "offline")


def test_a_terminal_that_is_closed_ends_it_and_the_device_disconnects(
    mosquitto, live, tmp_path
):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    running, terminal = pty.fork()
    if running == 0:
        os.environ["TMPDIR"] = str(scratch)
        words = ["run", "--broker", mosquitto.url, "--publish-ms", "500"]
        os.execv(own_program("egiz-edge"), ["egiz-edge", *words])
    try:
        eventually(lambda: live.messages("oven-001", "telemetry"))
    finally:
        os.close(terminal)
    _, status = os.waitpid(running, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 1}  # 1: before it could say more
    assert list(scratch.iterdir()) == []
    eventually(lambda: live.messages("oven-001", "status")[-1].state == "offline")


def test_the_state_is_kept_in_the_directory_that_is_given(
    launch, mosquitto, live, tmp_path
):
    for boot in (1, 2):
        running = launch(
            "egiz-edge",
            *("run", "--broker", mosquitto.url, "--publish-ms", "500"),
            *("--state", str(tmp_path / "flash")),
        )
        eventually(
            lambda boot=boot: any(
                m.boot == boot for m in live.messages("oven-001", "telemetry")
            )
        )
        assert running.terminate() == 0


def test_the_exit_code_is_1_when_a_message_was_not_acknowledged(launch, mosquitto):
    mosquitto.stop()
    running = launch(
        "egiz-edge", "run", "--broker", mosquitto.url, "--publish-ms", "300"
    )
    eventually(lambda: running.output().count("no broker") >= 3)
    assert running.interrupt() == 1
    assert json.loads(running.output().splitlines()[-1])["unacked"] > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--device-id", "Oven 1"], "--device-id 'Oven 1': a device id is"),
        (["--facility", "a/b"], "--facility 'a/b': a facility is"),
        (["--broker", "http://localhost"], "--broker: must be mqtt://host:port"),
        (["--broker", "mqtt://localhost:99999"], "--broker: port must be 1 to 65535"),
        (["--publish-ms", "5"], "--publish-ms"),
        (["--heap", "1e9"], "--heap"),
        (["--heap", "10k"], "'--heap': the firmware needs 112k or more"),
        (["--heap", "114687"], "'--heap': the firmware needs 112k or more"),
    ],
)
def test_a_wrong_option_is_explained_in_a_sentence(launch, arguments, sentence):
    running = launch("egiz-edge", "run", *arguments)
    assert running.wait() == 2
    assert sentence in running.output()
    assert "Traceback" not in running.output()


@pytest.fixture
def crashed(tmp_path):
    """The flash of a device that has crashed five times."""
    data = tmp_path / "flash" / "data"
    data.mkdir(parents=True)
    (data / "boots").write_text("5 crash: test")
    return tmp_path / "flash"


@pytest.fixture(params=["home/.micropython/lib", "flash/lib"])
def home(request, umqtt, tmp_path):
    """Where MicroPython's installer has been used: for the user, or for the flash."""
    shutil.copytree(umqtt / "umqtt", tmp_path / request.param / "umqtt")
    return tmp_path / "home"


def test_safe_mode_runs_with_the_umqtt_that_the_installer_of_micropython_has_put(
    launch, mosquitto, live, crashed, home
):
    running = launch(
        "egiz-edge",
        *("run", "--broker", mosquitto.url, "--state", str(crashed)),
        *("--publish-ms", "500"),
        env={"HOME": str(home)},
    )
    statuses = eventually(lambda: live.messages("oven-001", "status"))
    assert (statuses[0].state, statuses[0].reset_cause) == ("safe_mode", "crash: test")
    command = Command(device_id="oven-001", id="c1", action="reboot")
    live.publish(Topic("factory", "oven-001", "command"), encode(command))
    eventually(lambda: live.messages("oven-001", "telemetry"))
    assert running.interrupt() == 0
    assert "umqtt" not in running.output()


def test_without_umqtt_it_says_once_what_does_not_work_and_how_to_install_it(
    launch, mosquitto, crashed, tmp_path
):
    running = launch(
        "egiz-edge",
        *("run", "--broker", mosquitto.url, "--state", str(crashed)),
        env={"HOME": str(tmp_path)},
    )
    running.wait_for("no module named 'umqtt")
    lines = running.output().splitlines()
    assert lines[0].startswith("safe mode does not work on this virtual board")
    assert lines[0].endswith("micropython -m mip install umqtt.simple")
    assert lines[1] == "safe mode: crash: test"
    assert running.output().count("mip install") == 1


def test_a_home_that_may_not_be_read_has_no_umqtt(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0)
    # A user without rights, who may still read the interpreter.
    other = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    code = "from egiz_edge_tools import umqtt; print(umqtt.installed())"
    done = subprocess.run(
        [*(other if os.geteuid() == 0 else []), sys.executable, "-c", code],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_a_device_that_does_not_listen_is_ended_by_the_second_ctrl_c(launch, crashed):
    running = launch("egiz-edge", "run", "--state", str(crashed))
    running.wait_for("safe mode: crash: test")
    running.signal(signal.SIGINT)
    time.sleep(0.5)
    assert running.is_running()  # it is given half a minute
    assert running.interrupt() == 1


def test_without_an_interpreter_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(board.shutil, "which", lambda *_, **__: None)
    done = CliRunner().invoke(main, ["run", "--state", str(tmp_path)])
    assert done.exit_code == 1
    assert "pip install 'egiz-edge[virtual]'" in done.output


def test_no_password_is_ever_printed(launch, mosquitto):
    running = launch(
        "egiz-edge",
        *("run", "--broker", f"mqtt://user:Secret-1@{mosquitto.host}:{mosquitto.port}"),
        *("--publish-ms", "300"),
        env={"EGIZ_EDGE_MQTT_PASSWORD": "Secret-2"},
    )
    running.wait_for("connected")
    running.interrupt()
    assert "Secret" not in running.output()


def test_build_prints_what_it_made(launch, tmp_path):
    running = launch("egiz-edge", "build", "--out", "made")
    assert running.wait() == 0
    found = (tmp_path / "made/slot").rglob("*.*")  # the page of the portal, too
    sizes = [path.stat().st_size for path in found]
    assert running.output() == (
        f"made: firmware {__version__} for xtensawin, {len(sizes)} files,"
        f" {sum(sizes):,} bytes\n"
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    running = launch("egiz-edge", "build", "--out", "other")
    assert running.wait() == 2
    assert "Error: other holds something that is not a bundle" in running.output()


def test_a_directory_that_cannot_hold_the_firmware_is_a_sentence(tmp_path):
    command = [own_program("egiz-edge"), "run", "--state", str(tmp_path)]
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; exec {shlex.join(command)}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    # The line before it may be how to install umqtt.simple.
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {tmp_path}")
    assert last.endswith(": File too large")  # what the limit is called


def test_a_device_with_a_certificate_publishes_to_the_listener_that_is_shipped(
    launch, secure_mosquitto, tmp_path
):
    broker = secure_mosquitto
    (tmp_path / "ca.pem").write_bytes(broker.authority.pem)
    pair = broker.pair(Subject("device", "oven-001", "factory"))
    broker.start()
    running = launch(
        "egiz-edge",
        *("run", "--broker", f"mqtt://localhost:{broker.tls12_port}"),
        *("--ca", str(tmp_path / "ca.pem"), "--cert", str(pair), "--key", str(pair)),
        *("--publish-ms", "300"),
    )
    running.wait_for("connected")
    running.interrupt()
    counts = json.loads(running.output().splitlines()[-1])
    assert counts["unacked"] == 0


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_doctor_logs_in_with_a_certificate_and_names_a_wrong_authority(
    launch, secure_mosquitto, tmp_path, form
):
    broker = secure_mosquitto
    pair = broker.pair(Subject("device", "oven-001", "factory"))
    named = {"ca": tmp_path / "ca.pem", "cert": pair, "key": pair}
    named["ca"].write_bytes(broker.authority.pem)
    if form == "DER":
        made = as_der(named, tmp_path)
        named = {name: tmp_path / file for name, file in made.items()}
    broker.start()
    url = f"mqtt://localhost:{broker.tls12_port}"
    options = [part for name in named for part in (f"--{name}", str(named[name]))]
    running = launch("egiz-edge", "doctor", "--broker", url, *options)
    running.wait()
    assert f"broker localhost:{broker.tls12_port}: accepts a device" in running.output()
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    running = launch("egiz-edge", "doctor", "--broker", url, "--ca", str(other))
    assert running.wait() == 1
    assert "CERTIFICATE_VERIFY_FAILED" in running.output()
    assert "Is --ca the authority of that broker" in running.output()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cert": "x", "key": "x"}, "--ca: name the certificate of the broker"),
        ({"ca": "x"}, "--ca: x: holds no certificate, in PEM or DER"),
        ({"ca": "pem", "cert": "pem"}, "--cert and --key: give both"),
        ({"ca": "pem", "cert": "pem", "key": "pem"}, "--key: pem: holds no key"),
        ({"ca": "pem", "cert": "pem", "key": "locked"}, "key without a password"),
        ({"ca": "none"}, "--ca: none: No such file"),
        ({"ca": "pipe"}, "--ca: pipe: it is a pipe without a writer"),
    ],
)
def test_a_file_of_tls_that_cannot_be_used_is_named(
    launch, tmp_path, options, sentence
):
    (tmp_path / "x").write_text("nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pem").write_bytes(trustme.CA().cert_pem.bytes())
    locked = "ENCRYPTED PRIVATE KEY"
    text = f"-----BEGIN {locked}-----\nMAA=\n-----END {locked}-----\n"
    (tmp_path / "locked").write_text(text)
    named = [part for name in options for part in (f"--{name}", options[name])]
    running = launch("egiz-edge", "run", *named)
    assert running.wait() == 2
    assert sentence in running.output()
