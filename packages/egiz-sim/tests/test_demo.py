"""`egiz-sim demo`: what `make demo` runs."""

import asyncio
import io
import json
import os
import pty
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from egiz_sim.cli import main
from egiz_sim.demo import parts, run, view
from egiz_sim.demo.archive import Latest
from egiz_sim.fleet import Fleet
from rich.console import Console
from rig.process import free_port, own_program
from rig.waiting import eventually


@pytest.fixture
def demo(launch, mosquitto, tmp_path):
    """Start a demo; `directory()` is where it works."""
    del mosquitto  # whether it is installed

    def start(*arguments, seconds=None):
        env = {} if seconds is None else {"DEMO_SECONDS": str(seconds)}
        return launch("egiz-sim", "demo", *arguments, env=env)

    yield start
    eventually(lambda: not _processes_in(tmp_path / "demo-"))


def _processes_in(directory):
    """Command lines of what still runs with files in `directory`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has just ended
        if str(directory) in line:
            found.append(line)
    return found


def _archive(tmp_path):
    (directory,) = tmp_path.glob("demo-*")
    return directory / "archive.sqlite"


def _executed(archive, statement):
    """How many rows it has changed, and the first that it gives.

    None of either before the bridge has made the table.
    """
    with closing(sqlite3.connect(archive, timeout=30)) as db, db:
        try:
            done = db.execute(statement)
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error)  # noqa: PT017  # else it is a fault
            return SimpleNamespace(rowcount=0, row=None)
        return SimpleNamespace(rowcount=done.rowcount, row=done.fetchone())


def _rows(archive):
    with closing(sqlite3.connect(archive, timeout=30)) as db:
        return sum(
            db.execute(f"SELECT count(*) FROM {kind}").fetchone()[0]
            for kind in ("telemetry", "status")
        )


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_the_demo_ends_with_a_balanced_ledger_of_25_devices(demo, tmp_path, broker):
    running = demo("--broker", broker, seconds=5)
    assert running.wait(60) == 0, running.output()
    output = running.output()
    totals = re.search(r"(\d+) published, (\d+) archived: balanced", output)
    assert totals, output
    published, archived = map(int, totals.groups())
    assert published == archived == _rows(_archive(tmp_path))
    assert published > 24 * 5
    names = {"mosquitto": "Mosquitto", "embedded": "NATS"}
    assert f"Broker: {names[broker]} on mqtt://" in output  # as asked, so without a why
    for name in ("oven-001", "mixer-004", "conveyor-003", "silo-003", "oven-900"):
        assert re.search(rf"{name}\W+(\d+)\W+\1\W+=", output)
    assert re.search(r"publish to archive \d+ ms", output)


def test_the_demo_needs_no_proxy_that_the_environment_has(demo, http_proxy):
    running = demo(seconds=2)
    assert running.wait(60) == 0, running.output()
    assert "archived: balanced" in running.output()
    assert http_proxy == []


class _InTwoGroups(Fleet):
    """A fleet of which one half connects when the births of the other are retained."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        half = len(self.devices) // 2
        self._first = self.devices[:half]
        for device in self.devices[half:]:
            device.publisher.run = partial(self._run_late, device.publisher.run)

    async def _run_late(self, run):
        while not all(device.counts.acknowledged["status"] for device in self._first):  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.01)
        await run()


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_the_demo_balances_if_devices_connect_after_the_first_births(
    monkeypatch, demo, tmp_path, broker
):
    del demo  # for its check of what is left behind
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "Fleet", _InTwoGroups)
    output = io.StringIO()
    assert run.run_demo(broker, 3, Console(file=output)), output.getvalue()
    with closing(sqlite3.connect(_archive(tmp_path))) as db:
        births = dict(
            db.execute(
                "SELECT device_id, count(*) FROM status WHERE state = 'online'"
                " AND device_id != 'oven-900' GROUP BY device_id"
            )
        )
    assert list(births.values()) == [1] * 24


_EDGE_WITHOUT_INTERPRETER = f"""#!{sys.executable}
import os, sys
os.environ["PATH"], sys.executable = "/usr/bin:/bin", "/nowhere/python"
from egiz_edge_tools.cli import main
main()
"""


def test_where_no_micropython_can_be_installed_the_firmware_is_left_out(
    monkeypatch, tmp_path
):
    edge = tmp_path / "egiz-edge"
    edge.write_text(_EDGE_WITHOUT_INTERPRETER)
    edge.chmod(0o755)
    found = parts.own_program
    monkeypatch.setattr(
        parts,
        "own_program",
        lambda name: str(edge) if name == edge.name else found(name),
    )
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    is_balanced = run.run_demo("mosquitto", 5, Console(file=output))
    assert is_balanced, output.getvalue()
    assert "The firmware was left out: no MicroPython" in output.getvalue()
    assert "oven-900" not in output.getvalue()


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_the_demo_runs_in_a_directory_with_a_name_that_needs_quotes(
    monkeypatch, tmp_path, broker
):
    directory = tmp_path / "a \"b\" \\ 'c' [red]"
    directory.mkdir()
    monkeypatch.chdir(directory)
    output = io.StringIO()
    assert run.run_demo(broker, 2, Console(file=output)), output.getvalue()
    line = output.getvalue().splitlines()[-1]
    assert shlex.split(line)[1] == str(_archive(directory))
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]


def test_the_query_that_the_demo_prints_works(demo, tmp_path):
    running = demo()
    # Its birth, and telemetry.
    running.wait_until(lambda: re.search(r"and [2-9] of the firm", running.output()))
    assert running.interrupt(60) == 0, running.output()
    (query,) = re.findall(r'sqlite3 \S+ "(SELECT .+)"', running.output())
    with closing(sqlite3.connect(_archive(tmp_path))) as db:
        rows = {name: (n, v) for name, n, v in db.execute(query)}
    assert len(rows) == 25
    assert all(count > 0 for count, _ in rows.values())
    volts = {name: v for name, (_, v) in rows.items() if not name.startswith("silo-")}
    assert all(180 < v < 250 for v in volts.values())
    assert [rows[f"silo-00{n}"][1] for n in (1, 2, 3)] == [None] * 3  # without a meter


def test_ctrl_c_ends_the_demo_with_a_balanced_ledger(demo):
    running = demo()
    running.wait_for("msg/s", timeout=30)
    assert running.interrupt(60) == 0
    assert "archived: balanced" in running.output()


def test_a_missing_message_fails_the_demo_and_its_device_is_named(demo, tmp_path):
    running = demo(seconds=6)
    running.wait_for("msg/s", timeout=30)
    remove = (
        "DELETE FROM telemetry WHERE rowid ="
        " (SELECT min(rowid) FROM telemetry WHERE device_id = 'mixer-002')"
    )
    eventually(lambda: _executed(_archive(tmp_path), remove).rowcount == 1, 30)
    assert running.wait(60) == 1
    assert "NOT BALANCED" in running.output()
    assert re.search(r"mixer-002\W+\d+\W+\d+\D+-1", running.output())


def test_a_part_that_dies_is_named_with_its_log(demo, tmp_path):
    running = demo()
    running.wait_for("msg/s", timeout=30)
    (bridge,) = [
        line for line in _processes_in(tmp_path / "demo-") if "egiz-bridge" in line
    ]
    subprocess.run(["pkill", "-9", "-f", bridge.split()[-1]], check=True)
    assert running.wait(60) == 1
    assert "bridge has ended; see" in running.output()
    assert "Traceback" not in running.output()


def test_served_it_is_found_by_others_and_their_messages_are_not_in_its_ledger(
    demo, launch, tmp_path
):
    ports = free_port(), free_port()
    options = ("--mqtt-port", str(ports[0]), "--http-port", str(ports[1]))
    running = demo("--serve", *options)
    file = tmp_path / "services.json"
    services = json.loads(eventually(lambda: file.exists() and file.read_text(), 30))
    assert services["broker"]["url"] == f"mqtt://127.0.0.1:{ports[0]}"
    assert services["bridge"]["url"] == f"http://127.0.0.1:{ports[1]}"
    assert Path(services["archive"]["path"]) == _archive(tmp_path)
    assert services["pid"] == running.pid
    for name in ("ready", "metrics", "devices"):
        with urllib.request.urlopen(services["bridge"][name], timeout=10) as answer:
            assert answer.status == 200
    url = services["broker"]["url"]
    other = launch("egiz-edge", "run", "--broker", url, "--device-id", "oven-777")
    query = "SELECT count(*) > 0 FROM telemetry WHERE device_id = 'oven-777'"
    eventually(lambda: _executed(_archive(tmp_path), query).row == (1,), 30)
    other.interrupt(60)
    assert running.interrupt(60) == 0, running.output()
    assert "archived: balanced" in running.output()
    assert f"egiz-edge run --broker {url} --device-id oven-777" in running.output()
    assert not file.exists()


def test_a_port_that_is_in_use_is_named_with_its_option(launch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        running = launch("egiz-sim", "demo", "--serve", "--mqtt-port", port)
        assert running.wait() == 1
    found = running.output()
    assert f"port {port} cannot be used (Address already in use)" in found
    assert "choose another with --mqtt-port" in found
    assert not list(tmp_path.glob("demo-*"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--mqtt-port", "1883"), "are for --serve"),
        (("--serve", "--mqtt-port", "7", "--http-port", "7"), "are both 7"),
        (("--serve", "--http-port", "65536"), "--http-port"),
    ],
)
def test_ports_that_cannot_be_are_refused(launch, options, reason):
    running = launch("egiz-sim", "demo", *options)
    assert running.wait() == 2
    assert reason in running.output()


@pytest.mark.parametrize(
    ("readings", "line"),
    [
        ([], ""),
        ([20.0, 20.0], "▁▁"),
        ([0.0, 1.0, 7.0, 3.0], "▁▂█▄"),
        (range(20), "▁▂▂▃▄▄▅▅▆▇▇█"),
        ([None, 5.0], "▁"),
    ],
)
def test_a_line_of_readings_goes_from_the_lowest_to_the_highest(readings, line):
    trends = view.Trends()
    for celsius in readings:
        trends.add({"oven-001": Latest("ok", 230.0, None, celsius, None, None, None)})
    assert trends.line("oven-001") == line


def test_a_killed_demo_leaves_no_process_behind(demo, tmp_path):
    running = demo()
    running.wait_for("msg/s", timeout=30)
    assert _processes_in(tmp_path / "demo-")
    running.kill()
    # The fixture waits for the end of all of them.


def test_on_a_terminal_the_demo_shows_a_live_table(demo, tmp_path):
    del demo  # for its check of what is left behind
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [own_program("egiz-sim"), "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env={**os.environ, "DEMO_SECONDS": "3", "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    drawn = b""
    while process.poll() is None or b"Query it" not in drawn:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    assert b"Devices, as archived" in drawn
    assert b"\x1b[" in drawn
    assert b"archived: balanced" in drawn


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("own_program", "egiz-bridge is missing: pip install 'egiz-sim[demo]'"),
        ("nats", "nats-server is missing: pip install 'egiz-sim[demo]'"),
        ("mosquitto", "Mosquitto is not installed: apt install mosquitto"),
    ],
)
def test_a_missing_program_is_named_with_its_installation(
    monkeypatch, tmp_path, missing, message
):
    monkeypatch.chdir(tmp_path)
    if missing == "own_program":
        monkeypatch.setattr(parts.sys, "executable", str(tmp_path / "python"))
    else:
        monkeypatch.setattr(parts.shutil, "which", lambda *_, **__: None)
    broker = "auto" if missing == "nats" else "mosquitto"
    done = CliRunner().invoke(main, ["demo", "--seconds", "1", "--broker", broker])
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].endswith(message)
    assert isinstance(done.exception, SystemExit)


def test_a_time_that_is_too_short_is_wrong_usage(launch):
    running = launch("egiz-sim", "demo", "--seconds", "0.5")
    assert running.wait() == 2
    assert "--seconds" in running.output()


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
@pytest.mark.parametrize("delay_s", [0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_ctrl_c_at_any_moment_of_the_start_ends_the_demo(demo, broker, delay_s):
    running = demo("--broker", broker)
    running.wait_for("Broker:")
    time.sleep(delay_s)  # a moment of the start, whichever it is on this machine
    code = running.interrupt(60)
    output = running.output()
    assert "Traceback" not in output
    assert "NOT BALANCED" not in output
    assert code == (0 if "archived: balanced" in output else 130), output
