"""All five programs: whatever a person types, the answer is a sentence and a code."""

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import click
import pytest
from click.testing import CliRunner
from egiz_bridge.cli.devices import show
from egiz_cli import MEANINGS
from egiz_infra.cli import main as infra
from egiz_schema import cli as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rig.process import own_program
from rig.programs import PROGRAMS, commands_of

# What no program may need an answer from: nothing listens there.
ENVIRONMENT = {
    "EGIZ_BRIDGE_MQTT_URL": "mqtt://127.0.0.1:1",
    "EGIZ_BRIDGE_HTTP_LISTEN": "127.0.0.1:2",
    "EGIZ_DIRECTORY": "authority",
    "EGIZ_SERVICES": "127.0.0.1:1",
    "EGIZ_DEVICES": "127.0.0.1:1",
    "COLUMNS": "80",
}
# These would serve, or work for seconds, if nothing they are given were wrong.
BROKEN = {
    "egiz-bridge run": ["--config binary", "--config missing", "--workers 0"],
    "egiz-bridge bench": ["--what", "what"],
    "egiz-edge run": ["--facility A", "--heap 1e9", "--seed x", "--broker http://x"],
    "egiz-edge serve": ["--listen x", "--listen 127.0.0.1:1e5"],
    "egiz-sim run": [
        "--facility A",
        "--rate nan",
        "--broker http://x",
        "--scenario missing",
        "--scenario binary",
        "--scenario directory",
    ],
    "egiz-sim load": [
        "--facility A",
        "--rate nan",
        "--database x",
        "--broker http://x",
    ],
    "egiz-sim check": ["--facility A", "--device-id x", "--broker http://x"],
    "egiz-sim firmware": ["--facility A", "--seconds nan", "--broker http://x"],
    "egiz-sim demo": ["--seconds nan", "--seconds 0", "--broker none"],
    "egiz-schema generate": ["--directory binary", "--directory loop"],
}
FILES = ["missing", "missing/file", "directory", "binary", "empty", "loop", "binary/x"]
FILES += ["secret", "x" * 300, "/proc/self/mem", ".", "/"]
NUMBERS = ["0", "1", "-1", "99999999999999999999", "-99999999999999999999", "1e400"]
NUMBERS += ["nan", "-inf", "inf", "1.5", "0x10", "1_0", "٣", "1e9", "00"]
# No NUL: an argument of a process cannot hold one.
TEXTS = ["", " ", "a" * 5000, "Ä", "\udcff", "two\nlines", "[red]", "%s", "*", "--help"]
TEXTS += ["-", "-x", "$(id)", "mqtt://[", "mqtt://127.0.0.1:1", "mqtt://h:99999", ":1"]
TEXTS += ["http://x", "oven-001", "2026-01-01T00:00:00", "9999-12-31T23:59:59-2359"]
ANY = st.sampled_from([*FILES, *NUMBERS, *TEXTS])


COMMANDS = {
    name: (program, found)
    for title, program in PROGRAMS.items()
    for name, found in [(title, program), *commands_of(program, [title])]
}
SCHEMA = schema.commands()


@pytest.fixture(autouse=True, scope="module")
def hostile_directory(tmp_path_factory):
    """The directory in which everything runs, with the files that are named above."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "directory").mkdir()
    (directory / "binary").write_bytes(bytes(range(256)))
    (directory / "empty").touch()
    (directory / "loop").symlink_to("loop")
    (directory / "secret").write_bytes(b"\xff")
    (directory / "secret").chmod(0)
    before = Path.cwd()
    os.chdir(directory)  # relative paths are what people type
    with mock.patch.dict(os.environ, ENVIRONMENT):
        CliRunner().invoke(infra, ["init"])  # so that the others have one
        yield directory
    os.chdir(before)


def _value(option):
    kind = option.type
    likely = [ANY]
    if isinstance(kind, click.Choice):
        likely.append(st.sampled_from(list(kind.choices)))
    elif isinstance(kind, click.Path):
        likely.append(st.sampled_from(FILES))
    elif isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        likely.append(st.sampled_from(NUMBERS))
    return st.one_of(*likely)


@st.composite
def _arguments(draw, command, name):
    words = []
    for parameter in draw(st.permutations(command.params)):
        if isinstance(parameter, click.Argument):
            words += [draw(_value(parameter)) for _ in range(draw(st.integers(0, 2)))]
        elif parameter.name == "help" or not (
            parameter.required or draw(st.booleans())
        ):
            continue
        elif parameter.is_flag:
            words.append(parameter.opts[0])
        else:
            words += [parameter.opts[0], draw(_value(parameter))]
    if name in BROKEN:
        words += draw(st.sampled_from(BROKEN[name])).split()
    return words


def _check(code, output, words, names):
    assert code in MEANINGS, output
    assert "Traceback" not in output
    if code != 2 or "\nCommands:\n" in output:  # the help of a group
        return
    shown = [
        line for line in output.splitlines() if not line.startswith(("Usage", "Try"))
    ]
    message = " ".join(shown)
    spelt = [*words, *(word[:2] for word in words if word[:1] == "-")]
    spelt += [str(Path(word)) for word in words if word]  # as pathlib has it
    spelt += [part for word in words for part in (ascii(word)[1:-1], word[:40].strip())]
    wanted = [re.escape(" ".join(w.splitlines())) for w in [*names, *spelt] if w]
    pattern = rf"(?<!\w)({'|'.join(wanted)})"
    assert re.search(pattern, message), (words, output)


FUZZ = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_input_gives_a_traceback_and_a_wrong_one_is_named(name):
    program, command = COMMANDS[name]
    names = {option for p in command.params for option in p.opts}
    names |= {p.human_readable_name for p in command.params}
    names |= {p.make_metavar(click.Context(command)) for p in command.params}
    names |= {"mqtt.", "http.", "spool.", "archive.", "command", "SHELL"}

    # A board that is none is waited for, a second or two.
    @settings(FUZZ, max_examples=6 if name.startswith("egiz-edge") else 20)
    @given(_arguments(command, name))
    def run(words):
        line = [*name.split()[1:], *words]
        done = CliRunner().invoke(program, line, input="")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise AssertionError(shlex.join(line)) from done.exception
        _check(done.exit_code, done.output, words, names)

    run()


@st.composite
def _schema_arguments(draw, parser, name):
    words = []
    for action in parser._actions[1:]:
        if not action.option_strings:
            words += [draw(ANY) for _ in range(draw(st.integers(0, 3)))]
        elif draw(st.booleans()):
            words.append(action.option_strings[0])
            if action.nargs != 0:
                words.append(draw(ANY))
    if name in BROKEN:
        words += draw(st.sampled_from(BROKEN[name])).split()
    return words


@pytest.mark.parametrize("name", SCHEMA)
def test_no_input_of_the_contract_gives_a_traceback(name):
    actions = SCHEMA[name]._actions
    names = {"egiz-schema: error:", "FACILITY", "--topic", "no field"}
    names |= {option for action in actions for option in action.option_strings}

    @FUZZ
    @given(_schema_arguments(SCHEMA[name], f"egiz-schema {name}"))
    def run(words):
        output = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
        empty = io.TextIOWrapper(io.BytesIO())
        with redirect_stdout(output), redirect_stderr(output):
            with (
                mock.patch.object(sys, "stdin", empty),
                pytest.raises(SystemExit) as end,
            ):
                schema.main([name, *words])
            output.flush()
        _check(end.value.code, output.buffer.getvalue().decode(), words, names)

    run()


def _helps():
    for program in {id(one): one for one, _ in COMMANDS.values()}.values():
        yield program.name, CliRunner().invoke(program, ["-h"]).output
    for name, (program, _) in COMMANDS.items():
        yield name, CliRunner().invoke(program, [*name.split()[1:], "-h"], "").output
    for name in ["", *SCHEMA]:
        output = io.StringIO()
        with redirect_stdout(output), pytest.raises(SystemExit):
            schema.main([*name.split(), "-h"])
        yield f"egiz-schema {name}".strip(), output.getvalue()


def test_every_help_fits_80_columns_with_whole_summaries_and_the_exit_codes():
    for name, output in _helps():
        assert output.startswith(("Usage: ", "usage: ")), name
        for line in output.splitlines():
            assert len(line) <= 80, (name, line)
            assert not line.endswith(("...", "…")) or "sage: " in line, (name, line)
        summaries = output.partition("Exit codes:")[2]
        assert all(f"\n  {code} " in summaries for code in MEANINGS), name


def test_every_option_and_command_says_what_it_is():
    for name, (_, command) in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


def test_config_is_the_same_option_in_every_command_of_the_bridge():
    helps = {
        parameter.help
        for name, (_, command) in COMMANDS.items()
        for parameter in command.params
        if name.startswith("egiz-bridge") and parameter.name == "config"
    }
    assert len(helps) == 1


@pytest.mark.parametrize("program", [*PROGRAMS, "egiz-schema"])
@pytest.mark.parametrize(
    ("setting", "codes"),
    [
        ("%s --help | head -1", {0, 141}),
        ("%s --version >&-", {0}),
        ("%s --help >&- 2>&- <&-", {0}),
        ("COLUMNS=40 %s --help < /dev/null", {0}),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 %s --help", {0}),
        ("%s completion bash > /dev/full", {1}),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 %s Ä", {2}),
        ("%s --what", {2}),
    ],
)
def test_a_shell_sees_a_code_of_the_table_and_no_traceback(program, setting, codes):
    line = setting % own_program(program)
    done = subprocess.run(
        ["bash", "-c", f"{line}\nexit ${{PIPESTATUS[0]}}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
    )
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if done.returncode in {0, 141}:
        assert done.stderr == ""


def _device(name, **counts):
    names = ("messages", "missing", "duplicates", "late", "buffered", "reboots")
    zeros = dict.fromkeys((*names, "dropped_readings"), 0)
    device = {"facility": "packaging-hall", "device_id": name, "states": ["losing"]}
    return device | zeros | {"clock_skew_ms": -12345, "last_s_ago": 61.5} | counts


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_table_of_devices_cuts_no_name(width):
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=True, color_system=None)
    show([_device("conveyor-belt-0017", messages=1_234_567)], console)
    assert "packaging-hall" in output.getvalue()
    assert "conveyor-belt-0017" in output.getvalue()
    assert "…" not in output.getvalue()
    assert ("missing" in output.getvalue().splitlines()[0]) == (width >= 80)
    assert ("no room for: " in output.getvalue()) == (width < 200)
