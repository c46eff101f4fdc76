"""All five programs: a password that a person typed is in no sentence."""

import io
import os
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import click
import pytest
from click.testing import CliRunner
from egiz_bridge.cli.main import main as bridge
from egiz_infra.cli import main as infra
from egiz_schema import cli as schema
from egiz_sim.cli import main as sim
from rig.programs import PROGRAMS, commands_of

PATH = "{}://u:1/SEKRET@host/x/x"  # a server of HTTP may have such a one
# None of the others can be used, with any scheme.
WRONG = [
    "{}://u:SEKRET@[::1",
    "{}://u:SEKRET@host:99999999",
    "{}://u:SEKRET@ho st",
    "{}://u:SE KRET@host",
    "{}//u:SEKRET@host",
    "{}:u:SEKRET@host",
    "u:SEKRET@host",
    "{}://u:SEKRET",
    "{}://u:SE:SEKRET",
    "{}://u:SEKRET@",
    "{}://u:SEKRET/x@host:1",
    PATH,
    "{}://[u:SEKRET@host]:1",
    "{}://u:SEKRET@host℀",
    "{}://u:SEKRET@h/#",
    "{}://u:SEKRET@h?x",
    "{}://u:%SEKRET@h\n",
    "{}://:SEKRET@h/?#",
    "{}://u:SEKRET@" + "a" * 70 + ".b:1",
]
SCHEMES = {
    "--database": ["influxdb1", "influxdb2+https", "victoriametrics", "x"],
    "--bridge": ["http", "https"],
    "--listen": ["http"],
}
NEEDED = {
    "egiz-sim check": ["--device-id", "oven-001"],
    "egiz-edge serve": ["."],
}


COMMANDS = {
    name: (program, found)
    for title, program in PROGRAMS.items()
    for name, found in commands_of(program, [title])
}
ADDRESSES = [
    (name, option.opts[0])
    for name, (_, found) in COMMANDS.items()
    for option in found.params
    if option.metavar in {"URL", "HOST:PORT"}
    or option.name in {"services", "devices_tls12"}
    or (option.name == "devices" and name.startswith("egiz-infra"))
]


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EGIZ_DIRECTORY", "authority")
    CliRunner().invoke(infra, ["init"])


def _check(output):
    assert "sekret" not in output.lower()
    assert "KRET@" not in output


def test_the_options_that_take_an_address_are_known():
    assert {option for _, option in ADDRESSES} == {
        *("--broker", "--live-broker", "--database", "--bridge", "--listen"),
        *("--services", "--devices", "--devices-tls12"),
    }


@pytest.mark.parametrize(("name", "option"), ADDRESSES)
def test_an_address_that_cannot_be_used_is_not_repeated(name, option):
    program, command = COMMANDS[name]
    arguments = ["x" for p in command.params if isinstance(p, click.Argument)]
    words = [*name.split()[1:], *NEEDED.get(name, arguments)]
    for scheme in SCHEMES.get(option, ["mqtt", "mqtts"]):
        for wrong in WRONG:
            text = wrong.format(scheme)
            done = CliRunner().invoke(program, [*words, option, text])
            _check(done.output)
            assert isinstance(done.exception, SystemExit), (text, done.exception)
            assert (done.exit_code, option in done.output) == (2, True), text


@pytest.mark.parametrize("key", ["mqtt.url", "influxdb.url", "http.listen"])
def test_an_address_in_the_settings_is_not_repeated(key):
    table, _, name = key.partition(".")
    more = 'bucket = "b"\n' if table == "influxdb" else ""
    for wrong in set(WRONG) - {PATH}:
        text = wrong.format("http" if more else "mqtt")
        literal = text.replace("\n", "\\n")
        Path("bridge.toml").write_text(f'[{table}]\n{name} = "{literal}"\n{more}')
        for command in ("check", "run", "tail", "probe", "devices"):
            done = CliRunner().invoke(bridge, [command, "--config", "bridge.toml"])
            _check(done.output)
            assert (done.exit_code, key in done.output) == (2, True), (text, command)
        variable = {f"EGIZ_BRIDGE_{table}_{name}".upper(): text}
        bucket = {"EGIZ_BRIDGE_INFLUXDB_BUCKET": "b"} if more else {}
        with mock.patch.dict(os.environ, variable | bucket):
            done = CliRunner().invoke(bridge, ["check"])
        _check(done.output)
        assert (done.exit_code, key in done.output) == (2, True), text


@pytest.mark.parametrize("url", ["http://u:SEKRET@127.0.0.1:1", "http://h/?p=SEKRET"])
def test_the_bridge_of_a_load_has_no_user_and_no_query(url):
    done = CliRunner().invoke(sim, ["load", "--bridge", url])
    assert "--bridge: must be http://host[:port]" in done.output
    assert done.exit_code == 2
    _check(done.output)


# Commands that take any number of arguments refuse none.
COUNTED = [
    name
    for name, (_, command) in COMMANDS.items()
    if not any(each.nargs == -1 for each in command.params)
]


@pytest.mark.parametrize("name", COUNTED)
def test_a_url_without_its_option_is_shown_without_its_password(name):
    program, _ = COMMANDS[name]
    for url in ("mqtt://u:SEKRET@h", "u:SEKRET@h", "mqtt//u:SE@SEKRET@h,x:y@h"):
        done = CliRunner().invoke(program, [*name.split()[1:], *[url] * 5], input="")
        _check(done.output)
        assert isinstance(done.exception, SystemExit), done.exception


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_url_in_place_of_a_command_or_a_file_has_its_password_hidden(program):
    done = CliRunner().invoke(PROGRAMS[program], ["mqtt://u:SEKRET@host"])
    assert "No such command 'mqtt://u:***@host'" in done.output


def test_a_file_that_is_a_url_has_its_password_hidden():
    done = CliRunner().invoke(bridge, ["check", "--config", "mqtt://u:SEKRET@host"])
    assert done.exit_code == 2
    _check(done.output)


@pytest.mark.parametrize(
    "words",
    [
        ["topic", "mqtt://u:SEKRET@host/sensors/a/oven-001/status"],
        ["mqtt://u:SEKRET@host"],
        ["gate", "mqtt://u:SEKRET@host"],
        ["explain", "mqtt://u:SEKRET@host"],
        ["validate", "mqtt://u:SEKRET@host"],
        ["validate", "--payload", "{}", "--topic", "mqtt://u:SEKRET@host"],
    ],
)
def test_the_contract_repeats_no_password(words):
    output = io.StringIO()
    with redirect_stderr(output), pytest.raises(SystemExit) as end:
        schema.main(words)
    assert end.value.code == 2
    _check(output.getvalue())


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["apply", "--mosquitto", "", "--reload"], "--reload"),
        (["tls-versions", "--log"], "--log"),
        (["backup", "made", "--data", ".", "--save-broker"], "--save-broker"),
    ],
)
@pytest.mark.parametrize(
    "command", ["false -P SEKRET", "'-P SEKRET", "none -P SEKRET", "P=SEKRET none"]
)
def test_a_command_is_not_repeated_as_it_may_hold_a_password(words, option, command):
    CliRunner().invoke(infra, ["account", "health"])
    CliRunner().invoke(infra, ["issue", "broker", "localhost"])
    done = CliRunner().invoke(infra, [*words, command])
    _check(done.output)
    # A broker that cannot be asked is stopped: its file is right.
    is_stopped = (option, command[:5]) == ("--save-broker", "false")
    assert done.exit_code == (0 if is_stopped else 1)
    assert (f"{option}: " in done.output) is not is_stopped
