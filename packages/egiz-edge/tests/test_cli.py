"""`egiz-edge`, as a person types it."""

import json

import egiz_edge_tools.virtual_board as board
import pytest
from click.testing import CliRunner
from egiz_edge_tools.cli import main
from rig.waiting import eventually


def test_run_starts_a_device_and_ctrl_c_lets_it_say_good_bye(launch, mosquitto, live):
    running = launch(
        "egiz-edge",
        *("run", "--broker", mosquitto.url, "--facility", "bakery"),
        *("--device-id", "oven-007", "--publish-ms", "500"),
    )
    eventually(lambda: len(live.messages("oven-007", "telemetry")) >= 3)
    assert running.interrupt() == 0
    account = json.loads(running.output().splitlines()[-1])
    assert account["device_id"] == "oven-007"
    assert account["unacked"] == 0
    eventually(lambda: live.messages("oven-007", "status")[-1].state == "offline")
    assert account["acked"] == {
        kind: len(live.messages("oven-007", kind)) for kind in ("telemetry", "status")
    }


def test_its_state_outlives_the_run_where_it_is_told(launch, mosquitto, live, tmp_path):
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


def test_what_could_not_be_sent_is_told_by_the_exit_code(launch, mosquitto):
    mosquitto.stop()
    running = launch(
        "egiz-edge", "run", "--broker", mosquitto.url, "--publish-ms", "300"
    )
    eventually(lambda: running.output().count("no broker") >= 3)
    assert running.interrupt() == 1
    assert json.loads(running.output().splitlines()[-1])["unacked"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--device-id", "Oven 1"], "--device-id 'Oven 1': type-unit"),
        (["--facility", "a/b"], "--facility 'a/b': words of"),
        (["--broker", "http://localhost"], "--broker: must be mqtt://host:port"),
        (["--broker", "mqtt://localhost:99999"], "the port must be 1 to 65535"),
        (["--publish-ms", "5"], "--publish-ms"),
    ],
)
def test_a_wrong_option_is_explained_in_a_sentence(launch, arguments, told):
    running = launch("egiz-edge", "run", *arguments)
    assert running.wait() == 2
    assert told in running.output()
    assert "Traceback" not in running.output()


def test_a_platform_without_an_interpreter_is_told_so(monkeypatch, tmp_path):

    monkeypatch.setattr(board.shutil, "which", lambda *_, **__: None)
    done = CliRunner().invoke(main, ["run", "--state", str(tmp_path)])
    assert done.exit_code == 3
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


def test_build_tells_what_it_made(launch, tmp_path):
    running = launch("egiz-edge", "build", "--out", "made")
    assert running.wait() == 0
    sizes = [path.stat().st_size for path in (tmp_path / "made").rglob("*.*py")]
    assert running.output() == (
        f"made: firmware 0.1.0 for xtensawin, {len(sizes)} files,"
        f" {sum(sizes):,} bytes\n"
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    running = launch("egiz-edge", "build", "--out", "other")
    assert running.wait() == 1
    assert "egiz-edge: other holds something that is not a bundle" in running.output()
