"""What a run leaves: its reports, its exit code, and times that the contract allows."""

import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from egiz_sim.cli import main
from egiz_sim.fleet import Plan
from egiz_sim.options import check_times
from egiz_sim.reports import reporting
from rig.process import own_program

_FULL = Path("/dev/full")


def test_a_report_that_cannot_be_written_keeps_none_of_the_others_away(tmp_path):
    gone, well = tmp_path / "gone" / "a.json", tmp_path / "b.xml"
    files = {gone: b"a", _FULL: b"b", well: b"c"}
    with pytest.raises(click.ClickException) as caught, reporting(files):
        pass
    said = caught.value.message
    assert f"{gone}: No such file or directory; check the path" in said
    assert f"{_FULL}: No space left on device; free some space there" in said
    assert well.read_bytes() == b"c"
    assert caught.value.exit_code == 1


def test_a_full_disk_takes_no_result_from_the_screen(launch, mosquitto, tmp_path):
    html = tmp_path / "page.html"
    files = ("--report", str(_FULL), "--html", str(html))
    options = ("--devices", "2", "--seconds", "0.5", "--broker", mosquitto.url)
    running = launch("egiz-sim", "load", *options, *files)
    assert running.wait() == 1
    assert "Result: " in running.output()
    assert f"{_FULL}: No space left" in running.output()
    assert "<html" in html.read_text()


_SHORT = {
    "run": "run --seconds 1",
    "load": "load --seconds 1 --rate 10 --no-live",
    "firmware": "firmware --seconds 1 --devices 1",
    "scenario": "run --scenario steady --seconds 5",
}


@pytest.mark.parametrize("output", ["> /dev/full", "> /dev/full 2>&1", "| true"])
@pytest.mark.parametrize("words", _SHORT.values(), ids=_SHORT)
def test_a_screen_that_is_gone_takes_no_report_away(tmp_path, mosquitto, words, output):
    line = f"{own_program('egiz-sim')} {words} --report r.json --broker {mosquitto.url}"
    done = subprocess.run(
        ["bash", "-c", f"{line} {output}\nexit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == (141 if output == "| true" else 1)
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "r.json").read_text())


@pytest.mark.parametrize("words", _SHORT.values(), ids=_SHORT)
def test_a_hangup_ends_it_early_with_its_report(
    launch, mosquitto, live, tmp_path, words
):
    words = re.sub(r"--seconds \d", "--seconds 600", words)
    options = ("--report", "r.json", "--broker", mosquitto.url)
    running = launch("egiz-sim", *words.split(), *options)
    running.wait_until(live.points)
    running.signal(signal.SIGHUP)
    running.signal(signal.SIGHUP)  # as one that is closed sends
    assert running.wait() in {0, 1}
    assert json.loads((tmp_path / "r.json").read_text())


@pytest.mark.parametrize(
    "command", ["run", "load", "run --scenario steady"], ids=["run", "load", "scenario"]
)
def test_ctrl_c_before_all_have_connected_is_no_success(launch, command):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        words = [*command.split(), "--broker", url, "--devices", "2"]
        running = launch("egiz-sim", *words)
        silent.settimeout(60)
        connected, _ = silent.accept()
        with connected:
            assert running.interrupt(15) == 130
    assert "Error" not in running.output()


@pytest.mark.parametrize(
    "start", ["1970-01-01T00:00:00", "0001-01-01T00:00:00", "2099-12-31T23:59:59"]
)
def test_readings_have_times_that_the_contract_allows(start):
    done = CliRunner().invoke(main, ["run", "--start", start])
    assert done.exit_code == 2
    assert "--start: readings are of the years 2020 to 2099" in done.output


def test_a_machine_with_a_wrong_clock_is_named(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 3600.0)
    with pytest.raises(click.ClickException, match="set the clock of this machine"):
        check_times(Plan(1, 1.0, 10.0, 1))
    check_times(Plan(1, 1.0, 10.0, 1, start_ms=1_700_000_000_000))
