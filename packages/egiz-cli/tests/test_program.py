"""A program of this package, as a shell runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from egiz_cli import MEANINGS, Program, command
from rig.waiting import eventually

EXAMPLE = """
import os, signal, subprocess, sys, tempfile
from pathlib import Path
import click
from egiz_cli import InputFile, OutputFile, Program, command

@click.group("egiz-cli", cls=Program, version="0.1.0")
def main():
    "An example."

@main.command()
@click.argument("lines", type=int)
def echo(lines):
    for number in range(lines):
        click.echo(number)

@main.command()
def buffered():
    sys.stdout.buffer.write(b"in the buffer at the end")

@main.command()
@click.argument("path")
def show(path):
    click.echo(Path(path).read_text())

@main.command()
def greek():
    click.echo("µ \\udcff")

@main.command()
def wait():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()

@main.command()
def here():
    click.echo(Path.cwd())

@main.command()
def many():
    held = [open(os.devnull) for _ in range(10000)]

@main.command()
def say():
    click.echo("in between", err=True)
    click.echo("done")

@main.command()
def hold():
    with tempfile.TemporaryDirectory() as directory:
        child = subprocess.Popen(["sleep", "60"], stdout=-3, stderr=-3)
        try:
            print(directory, child.pid, flush=True)
            signal.pause()
        finally:
            child.kill()
            print("held", flush=True)

@main.command()
@click.argument("path", type=OutputFile())
def work(path):
    click.echo("long work")
    path.write_text("done")

@main.command()
@click.argument("path", type=InputFile())
def load(path):
    click.echo(len(path.read_bytes()))

@main.command()
def overflow():
    bytearray(1 << 60)

@main.command()
def ask():
    click.confirm("Sure?", abort=True)

main()
"""
WITHOUT_READER = "  # a pipe that nothing reads"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """`program("echo 1", "| head -1")` gives (exit code, output, errors)."""
    path = tmp_path_factory.mktemp("example") / "example.py"
    path.write_text(EXAMPLE)
    (path.parent / "loop").symlink_to("loop")

    def run(arguments, then="", **env):
        end = "\nexit ${PIPESTATUS[0]}"
        line = f"{sys.executable} {path} {arguments} {then}{end}"
        output = subprocess.PIPE
        if then == WITHOUT_READER:
            reader, output = os.pipe()
            os.close(reader)
        done = subprocess.run(
            ["bash", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            cwd=path.parent,
            check=False,
        )
        if then == WITHOUT_READER:
            os.close(output)
        return done.returncode, done.stdout or "", done.stderr

    run.path = path
    return run


def test_a_reader_that_leaves_ends_the_program_silently(program):
    assert program("echo 100000", "| head -1") == (141, "0\n", "")


@pytest.mark.parametrize("arguments", ["buffered", "echo 1", "--help", "--version"])
def test_output_that_nothing_reads_from_the_start_is_as_silent(program, arguments):
    assert program(arguments, WITHOUT_READER) == (141, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        r"show $'none\e[2J'",
        r"load $'none\e[2J'",
        r"echo $'1\e[2J'",
        r"$'none\e[2J'",
        r"show --$'none\e[2J'",
    ],
)
def test_no_name_that_an_error_has_reaches_the_terminal_as_a_command(
    program, arguments
):
    code, _, errors = program(arguments)
    assert code == 2
    assert r"\x1b[2J" in errors
    assert errors.replace("\n", "").isprintable()


def test_an_error_of_several_lines_keeps_them(program):
    _, _, errors = program("show")
    assert len(errors.splitlines()) > 2


def test_a_closed_output_is_no_error(program):
    assert program("echo 3", ">&-") == (0, "", "")
    assert program("buffered", ">&-") == (0, "", "")
    assert program("echo 3", ">&- 2>&- <&-") == (0, "", "")


def test_a_full_disk_is_a_sentence(program):
    for arguments in ("buffered", "echo 3"):
        code, _, errors = program(arguments, "> /dev/full")
        assert code == 1
        assert "No space left on device" in errors
        assert "Traceback" not in errors


def test_a_directory_that_is_gone_and_a_limit_have_a_sentence(program, tmp_path):
    run = f"{sys.executable} {program.path}"
    for line, code, reason in (
        (
            f"mkdir gone; cd gone; rmdir ../gone; {run} here",
            1,
            "the current directory was removed; change to another one",
        ),
        (
            f"mkdir gone; cd gone; rmdir ../gone; {run} show file",
            2,
            "the current directory was removed; change to another one",
        ),
        (
            f"ulimit -n 64; {run} many",
            1,
            "Too many open files; raise what `ulimit -n` says, or LimitNOFILE",
        ),
    ):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, f"Error: {reason}\n")


def test_what_cannot_be_said_on_stderr_ends_nothing(program):
    assert program("say", "2> /dev/full") == (0, "done\n", "")
    assert program("echo x", "2> /dev/full") == (2, "", "")
    assert program("say") == (0, "done\n", "in between\n")
    assert program("greek", "1>&2") == (0, "", "µ \\udcff\n")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("missing", "Error: missing: No such file or directory; check the path\n"),
        (".", "Error: .: Is a directory; give a file, not a directory\n"),
        ("x/y", "Error: x/y: No such file or directory; check the path\n"),
        ("loop", "a symbolic link leads back to itself"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_fix(program, path, sentence):
    code, _, errors = program(f"show {path}")
    assert code == 2
    assert sentence in errors


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("missing/file", "missing/file: No such file or directory; check the path"),
        (".", "is a directory"),
        ("loop", "a symbolic link leads back to itself"),
        ("x" * 300, "File name too long; give a shorter path"),
        ("/proc/x", "/proc/x: No such file or directory"),
        ("example.py/x", "a part of the path is a file, not a directory"),
    ],
)
def test_an_output_that_cannot_be_written_is_noticed_before_the_work(
    program, path, sentence
):
    code, output, errors = program(f"work {path}")
    assert (code, output) == (2, "")
    assert sentence in " ".join(errors.split())


def test_an_output_is_written_once_the_work_is_done(program, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "made")
    for name in ("new", "link", "new"):
        assert program(f"work {tmp_path / name}") == (0, "long work\n", "")
        assert (tmp_path / name).read_text() == "done"
    assert program(f"work {tmp_path / 'left'} --what")[0] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "made", "new"]
    assert program("work /dev/null") == (0, "long work\n", "")


@pytest.mark.parametrize("path", ["/dev/zero", "huge"])
def test_a_file_without_an_end_is_refused_before_it_is_read(program, tmp_path, path):
    name = tmp_path / path  # as it is, where it is absolute
    if path == "huge":
        name.touch()
        os.truncate(name, 1 << 40)
    code, output, errors = program(f"load {name}")
    assert (code, output) == (2, "")
    assert f"{name}: too large; at most 1 MB" in " ".join(errors.split())


def test_a_pipe_and_an_empty_device_can_be_files(program):
    assert program("load <(echo three)") == (0, "6\n", "")
    assert program("load /dev/null") == (0, "0\n", "")


def test_a_memory_that_does_not_suffice_is_a_sentence(program):
    code, _, errors = program("overflow")
    assert code == 1
    assert errors.startswith("Error: not enough memory")


def test_what_the_terminal_cannot_show_is_escaped(program):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert program("greek", **env) == (0, "µ ?\n", "")  # as click has it


def test_ctrl_c_ends_with_130_silently(program):
    assert program("wait") == (130, "", "")


@pytest.fixture
def holding(program):
    """A factory of programs that have a directory and a child; (it, them)."""
    running = []

    def start(before=""):
        line = f"{before} exec {sys.executable} {program.path} hold"
        pipe = subprocess.PIPE
        process = subprocess.Popen(["bash", "-c", line], stdout=pipe, stderr=pipe)
        running.append(process)
        directory, child = process.stdout.readline().split()
        return process, Path(directory.decode()), Path("/proc") / child.decode()

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_outside_ends_it_in_good_order_and_is_seen(holding, number):
    process, directory, child = holding()
    assert directory.exists()
    for _ in range(3):  # a terminal that is closed sends several
        process.send_signal(number)
    assert process.wait(60) == -number
    assert (process.stdout.read(), process.stderr.read()) == (b"held\n", b"")
    assert not directory.exists()
    eventually(lambda: not child.exists())


def test_a_hangup_that_is_ignored_stays_so(holding):
    process, directory, _ = holding("trap '' HUP;")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM
    assert not directory.exists()


def test_a_question_without_an_answer_is_no(program):
    code, _, errors = program("ask")
    assert code == 1
    assert errors == "\nnothing was changed\n"


def test_every_help_has_the_exit_codes_of_the_table(program):
    for arguments in ("--help", "echo -h", "completion -h"):
        _, output, _ = program(arguments)
        for code in MEANINGS:
            assert f"\n  {code} " in output, arguments
    _, output, _ = program("echo -h")
    for meaning in MEANINGS.values():
        assert meaning in " ".join(output.split())


def test_a_command_says_what_a_code_means_for_it():
    @command(exit_codes={1: "no device answers"})
    def scan():
        """Look for devices."""

    output = CliRunner().invoke(scan, ["--help"]).output
    assert "  1    no device answers\n" in output
    assert MEANINGS[2] in " ".join(output.split())


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_prints_a_script_that_says_how_to_install_it(program, shell):
    code, output, errors = program(f"completion {shell}")
    assert (code, errors) == (0, "")
    assert "_EGIZ_CLI_COMPLETE" in output
    assert f"# To install: egiz-cli completion {shell} > " in output


def test_completion_completes_commands(program):
    env = {"COMP_WORDS": "egiz-cli e", "COMP_CWORD": "1"}
    _, output, _ = program("", _EGIZ_CLI_COMPLETE="bash_complete", **env)
    assert output.split() == ["plain,echo"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    "env",
    [
        {},
        {"COMP_WORDS": "egiz-cli e"},
        {"COMP_WORDS": "egiz-cli e", "COMP_CWORD": "x"},
    ],
)
def test_a_completion_that_fails_writes_nothing_into_the_line(program, shell, env):
    asked = {"_EGIZ_CLI_COMPLETE": f"{shell}_complete"}
    assert program("", **asked, **env) == (2, "", "")


def test_the_readme_has_the_table():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning.replace('|', chr(92) + '|')} |" in readme


def test_a_program_is_named_as_its_package():
    assert Program("egiz-cli", version="0.1.0").name == "egiz-cli"
    assert isinstance(Program("egiz-cli", version="0.1.0"), click.Group)
