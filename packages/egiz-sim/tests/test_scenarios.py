"""Scenarios: each is green behind a sound bridge, and red behind one that drops."""

import json
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from egiz_sim.cli import main
from egiz_sim.demo import parts
from egiz_sim.scenario import reading
from egiz_sim.scenario.reading import ScenarioError
from egiz_sim.scenario.run import plan_of, run_on_own_parts

_SABOTAGED = Path(__file__).parent / "sabotaged_bridge.py"
_DEVICES, _RATE_HZ, _SECONDS = 14, 20, 1.5
# A corrected time is that of a receipt. On a busy machine, which is late, a reading
# of the clock that is right again soon has the same millisecond, and takes its place.
_SLOWER = {"clock-skew": 4}
_ALWAYS = {
    *("acknowledged by the broker", "archived", "archived once"),
    "rejected by the bridge",
}
# Scenario -> what its verdict says beside that.
_CHECKS = {
    "steady": set(),
    "morning-start-up": set(),
    "wifi-outage": {"archived as history", "last wills"},
    "broker-restart": {"archived as history"},
    "reconnect-storm": set(),
    "last-will-storm": {"archived as history", "last wills"},
    "clock-skew": {"times corrected"},
    "sensor-decay": {"fault codes archived"},
    "command-burst": {"commands answered"},
    "slow-database": set(),
    "rogue-device": set(),
    "rollout-wave": {"updates ended"},
}


@pytest.fixture
def sabotage(monkeypatch, tmp_path):
    """Give the bridge of a run a fault: `sabotage("drops_more")`."""
    monkeypatch.chdir(tmp_path)

    def put_in(fault):
        bridge = tmp_path / "bridge-with-a-fault"
        command = f'exec {sys.executable} {_SABOTAGED} {fault} "$@"'
        bridge.write_text(f"#!/bin/sh\n{command}\n")
        bridge.chmod(0o755)
        monkeypatch.setattr(parts, "own_program", lambda _: str(bridge))

    return put_in


def _checks(name):
    """Run a scenario at small scale."""
    usual = reading.read(name)
    slower = _SLOWER.get(name, 1)
    small = {"devices": _DEVICES, "rate_hz": _RATE_HZ / slower}
    fleet = msgspec.structs.replace(usual.fleet, **small)
    scenario = msgspec.structs.replace(usual, fleet=fleet).lasting(_SECONDS * slower)
    reading.check_devices(name, scenario)
    plan = plan_of(scenario, "factory", usual.fleet.seconds)
    _, checks = run_on_own_parts(scenario, plan, lambda _: None)
    return {check.name: (check.is_passed, check.says) for check in checks}


def test_the_gallery_is_whole():
    assert set(reading.names()) == set(_CHECKS)


@pytest.mark.parametrize("name", _CHECKS)
def test_a_scenario_is_green_behind_a_sound_bridge(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    checks = _checks(name)
    failed = {one: says for one, (is_passed, says) in checks.items() if not is_passed}
    assert failed == {}
    # On a slow machine, more may be replayed than the scenario asks for.
    maybe = {"archived as history"}
    assert set(checks) | maybe == _ALWAYS | _CHECKS[name] | maybe
    assert set(checks) >= _CHECKS[name]


@pytest.mark.parametrize("name", _CHECKS)
def test_a_scenario_is_red_behind_a_bridge_that_drops(sabotage, name):
    sabotage("drops_more")
    checks = _checks(name)
    assert not checks["archived"][0], checks
    assert checks["acknowledged by the broker"][0], checks


def _write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


_CONFIG = """
[[event]]
at_s = 1
do = "send_config"
config = { publish_rate_ms = 1 }
"""
_SENSOR = """
[[event]]
at_s = 1
do = "fail_sensor"
devices = "silo-*"
sensor = "zone_9"
kind = "stuck"
lasts_s = 1
"""
_HEAD = 'about = "mine"\n[fleet]\ndevices = 7\nseconds = 10\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("about = 1 2", "not TOML: Expected newline"),
        ("[fleet]\ndevices=1\nseconds=1", "missing required field 'about'"),
        (
            _HEAD + "cores = 4",
            "fleet: table contains unknown field 'cores'; remove it,",
        ),
        (_HEAD.replace("7", "0"), "fleet.devices: Expected 'int' >= 1"),
        (_HEAD.replace("10", '"long"'), "fleet.seconds: Expected 'float', got 'str'"),
        (_HEAD + "updates = {bad = 1}", "fleet.updates"),
        (_HEAD + "updates = {slow = 0.7, good = 0.7}", "the shares are more than 1"),
        (_HEAD + "[[event]]\nat_s = 1", "event 1: table missing required field 'do'"),
        (
            _HEAD + '[[event]]\nat_s = 1\ndo = "explode"',
            "event 1 do: Invalid value 'explode'; do is one of disconnect, fail_",
        ),
        (
            _HEAD + '[[event]]\nat_s = 1\ndo = "disconnect"\nlast_s = 1',
            "unknown field 'last_s'; remove it, or write one of at_s, devices, lasts_s",
        ),
        (
            _HEAD + '[[event]]\nat_s = -1\ndo = "disconnect"',
            "event 1 at_s: Expected 'float' >= 0",
        ),
        (
            _HEAD + '[[event]]\nat_s = 8\ndo = "disconnect"\nlasts_s = 3',
            "event 1: it is over after 11 s, the run after 10; lower at_s, or raise",
        ),
        (
            _HEAD + '[[event]]\nat_s = 8\ndo = "disconnect"\ndevices = "tractor-*"',
            "event 1: devices: 'tractor-*' is none of the 7 devices, oven-001 and",
        ),
        (
            _HEAD + '[[event]]\nat_s = 1\ndo = "send_commands"\naction = "dance"',
            "event 1: action: unknown; an action is one of reboot, identify,",
        ),
        (
            _HEAD + _CONFIG,
            "event 1: publish_rate_ms: not 100..3600000",
        ),
        (
            _HEAD + _SENSOR,
            "event 1: sensor: silo-001 has no 'zone_9', but weight",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence_with_its_place(tmp_path, text, says):
    path = _write(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        reading.check_devices(path, reading.read(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def _event(members):
    return f"{_HEAD}[[event]]\nat_s = 1\n{members}"


_SENDS = 'do = "send_config"\nconfig = '
_CLOCK = 'do = "wrong_clock"\ndevices = "*"\nlasts_s = 1\nby_s = '


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_HEAD + "seed = " + "9" * 5000, "not TOML: Exceeds the limit (4300 digits)"),
        (".".join("a" * 20_000) + "= 1", "not TOML: line 1: more than 300 dots"),
        ("a = " + "[" * 5000, "not TOML: it is nested too deeply"),
        (_HEAD + "#" * (1 << 20) + "\nunknown = 1", "too large; at most 1,048,576"),
        (_HEAD + "seed = nan", "fleet.seed: Expected 'int', got 'float'"),
        (_event(_CLOCK + "nan"), "by_s: Expected 'float' >= -10000000"),
        (_event(_CLOCK + "1e300"), "by_s: Expected 'float' <= 10000000"),
        (_event(_SENDS + "{ x = 2020-01-01 }"), "config: JSON has no dates"),
        (_event(_SENDS + "{ x = nan }"), "config: JSON has no dates"),
        (_event(_SENDS + "{ rev = 7 }"), "config.rev: remove it"),
        (_event(_SENDS + f'{{ x = "{"y" * 5000}" }}'), "config: at most 4096 bytes"),
        (_HEAD.replace('about = "', 'about = "\\u001b[31m'), "about: write it without"),
    ],
)
def test_what_only_a_machine_would_write_is_a_sentence_too(tmp_path, text, says):
    path = _write(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        reading.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_file_without_an_end_is_too_large_and_not_read_whole():
    with pytest.raises(ScenarioError, match="/dev/zero: too large"):
        reading.read("/dev/zero")


def test_a_file_that_windows_has_saved_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + _HEAD.replace("\n", "\r\n").encode())
    assert reading.read(str(path)) == reading.read(_write(tmp_path, _HEAD))


def test_a_scenario_of_a_file_runs_as_typed_and_is_reported(launch, tmp_path):
    path = _write(tmp_path, _HEAD)
    report = tmp_path / "ledger.json"
    options = ("--devices", "3", "--seconds", "0.5", "--report", str(report))
    running = launch("egiz-sim", "run", "--scenario", path, *options)
    assert running.wait() == 0, running.output()
    ledger = json.loads(report.read_text())
    assert (ledger["parameters"]["devices"], ledger["parameters"]["seconds"]) == (
        3,
        0.5,
    )
    assert ledger["scenario"]["name"] == path
    assert ledger["scenario"]["passed"] is True
    assert {check["name"] for check in ledger["scenario"]["checks"]} == _ALWAYS


def test_a_red_verdict_is_exit_code_1(sabotage):
    sabotage("drops_more")
    options = ["--devices", "14", "--rate", "20", "--seconds", "1"]
    done = CliRunner().invoke(main, ["run", "--scenario", "steady", *options])
    assert done.exit_code == 1, done.output
    assert "FAILED" in done.output
    assert "; not " in done.output  # and which devices


def test_at_a_broker_of_others_what_needs_own_parts_is_refused(launch, mosquitto):
    broker = ("--broker", mosquitto.url)
    running = launch("egiz-sim", "run", "--scenario", "broker-restart", *broker)
    assert running.wait() == 2
    assert "broker-restart needs a broker and a database of its own" in (
        " ".join(running.output().split())
    )


def test_at_a_broker_of_others_the_rest_runs(launch, mosquitto, live):
    small = ("--devices", "7", "--rate", "10", "--seconds", "1.5")
    options = ("--scenario", "command-burst", "--broker", mosquitto.url, *small)
    running = launch("egiz-sim", "run", *options)
    assert running.wait() == 0, running.output()
    assert "70 of 70 commands" in running.output()
    answers = {
        status.last_command.id
        for status in live.messages("oven-001", "status")
        if status.last_command
    }
    assert len(answers) == 10


def test_scenarios_are_listed_and_printed(launch):
    listed = launch("egiz-sim", "scenarios")
    assert listed.wait() == 0
    lines = listed.output().splitlines()
    assert [line.split()[0] for line in lines] == sorted(_CHECKS)
    printed = launch("egiz-sim", "scenarios", "wifi-outage")
    assert printed.wait() == 0
    assert printed.output() == reading.text_of("wifi-outage")
    unknown = launch("egiz-sim", "scenarios", "no-such")
    assert unknown.wait() == 2
    assert "no-such: No such file" in unknown.output()


def test_ctrl_c_ends_a_scenario_with_its_verdict(launch):
    running = launch("egiz-sim", "run", "--scenario", "steady", "--seconds", "600")
    running.wait_for("50/50 connected, ")
    begun = time.monotonic()
    assert running.interrupt() == 0, running.output()
    assert time.monotonic() - begun < 60
    assert "Verdict" in running.output()
