"""What a run leaves: its reports, its exit code, and times that the contract allows."""

import socket
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from egiz_sim.cli import main
from egiz_sim.fleet import Plan
from egiz_sim.options import check_times
from egiz_sim.reports import write_reports

_FULL = Path("/dev/full")


def test_a_report_that_cannot_be_written_keeps_none_of_the_others_away(tmp_path):
    gone, well = tmp_path / "gone" / "a.json", tmp_path / "b.xml"
    with pytest.raises(click.ClickException) as caught:
        write_reports({gone: b"a", _FULL: b"b", well: b"c"})
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


@pytest.mark.parametrize("command", ["run", "load"])
def test_ctrl_c_before_all_have_connected_is_no_success(launch, command):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        running = launch("egiz-sim", command, "--broker", url, "--devices", "2")
        silent.settimeout(60)
        connected, _ = silent.accept()
        with connected:
            assert running.interrupt() == 130
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
