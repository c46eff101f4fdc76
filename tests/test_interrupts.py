"""Ctrl-C at any moment after a program's entry point has been read: quiet, and soon."""

import itertools
import os
import signal
import subprocess
import sys
import time

import egiz_cli
import egiz_launch
import egiz_schema_launch
import pytest
from rig.process import free_port, own_program

# A quiet entry point imports the library of a program: from this moment on, it can be
# held to its word.
WATCH = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["EGIZ_TEST_MODULE"]:
            os.close(os.open(os.environ["EGIZ_TEST_STARTED"], os.O_CREAT | os.O_WRONLY))

sys.meta_path.insert(0, Watch())
"""
# Seconds after that moment: most within the imports, some within the command.
MOMENTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.1, 1.5)
MODULES = {
    "egiz-schema": ("egiz_schema_launch", "egiz_schema"),
    "egiz-bridge": ("egiz_bridge", "egiz_bridge.cli.main"),
    "egiz-sim": ("egiz_sim", "egiz_sim.cli"),
    "egiz-edge": ("egiz_edge_tools", "egiz_edge_tools.cli"),
    "egiz-infra": ("egiz_infra", "egiz_infra.cli"),
}
# What is under way at the last moment, and how it may end: 0 for a daemon.
COMMANDS = {
    "egiz-schema": (["validate"], {0, 130}),  # 0: no message was wrong
    "egiz-bridge": (["run"], {0, 130}),
    "egiz-sim": (["run", "--seconds", "60"], {0, 130}),
    # Stopped in the middle of a message, it says that one is not acknowledged.
    "egiz-edge": (["run"], {0, 1, 130}),
    "egiz-infra": (["init"], {0, 130}),
}


@pytest.fixture
def start(tmp_path, mosquitto):
    """`start(command, program)` gives the process, at its first import of a library."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    numbers = itertools.count()
    running = []

    def run(command, program):
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        started = directory / "started"
        env = {
            "PYTHONPATH": str(tmp_path),
            "EGIZ_TEST_MODULE": MODULES[program][1],
            "EGIZ_TEST_STARTED": str(started),
            "EGIZ_BRIDGE_MQTT_URL": mosquitto.url,
            "EGIZ_BRIDGE_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
            "EGIZ_BRIDGE_ARCHIVE_PATH": str(directory / "archive.sqlite"),
            "EGIZ_BRIDGE_SPOOL_PATH": str(directory / "spool.sqlite"),
            "EGIZ_DIRECTORY": str(directory / "authority"),
        }
        takes_broker = program in {"egiz-sim", "egiz-edge"}
        words = ["--broker", mosquitto.url] if takes_broker else []
        process = subprocess.Popen(
            [*command, *COMMANDS[program][0], *words],
            stdin=subprocess.PIPE,  # open, and silent
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            cwd=directory,
        )
        running.append(process)
        until = time.monotonic() + 60
        while (
            not started.exists()
        ):  # not `eventually`, whose pauses are as long as imports
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.001)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def _interrupted(process, after_s):
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    return process.returncode, process.stderr.read()


@pytest.mark.parametrize("program", COMMANDS)
def test_ctrl_c_is_no_traceback_at_any_moment(start, program):
    codes = {}
    for moment in MOMENTS:
        process = start([own_program(program)], program)
        codes[moment], errors = _interrupted(process, moment)
        for noise in ("Traceback", "KeyboardInterrupt", "Exception ignored", "Aborted"):
            assert noise not in errors, (moment, errors)
        # -SIGINT: in its very last moment, when Python has given its handlers up.
        assert codes[moment] in COMMANDS[program][1] | {-signal.SIGINT}, errors
    assert codes[0.0] == 130


# Of egiz-schema, `python -m` imports the whole library before any entry point.
@pytest.mark.parametrize("program", [p for p in COMMANDS if p != "egiz-schema"])
def test_python_m_is_as_quiet(start, program):
    module = MODULES[program][0]
    process = start([sys.executable, "-m", module], program)
    assert _interrupted(process, 0.01) == (130, "")


@pytest.mark.parametrize("program", COMMANDS)
def test_an_interrupt_that_is_ignored_stays_ignored(program):
    process = subprocess.Popen(
        ["bash", "-c", f"trap '' INT; echo; exec {own_program(program)} --version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert output.startswith(program)


IGNORED = """
import os, signal, sys, time, weakref

class Thing:
    pass

def interrupted(_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

def main():
    try:
        thing = Thing()
        reference = weakref.ref(thing, interrupted)
        del thing
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
"""


# A machine that is busy begins with another thread, and not soon with this one again.
SLOW = """
import threading

_start = threading.Thread.start

def start(thread):
    _start(thread)
    time.sleep(0.3)

threading.Thread.start = start
"""


@pytest.mark.parametrize("machine", ["", SLOW], ids=["idle", "busy"])
def test_an_interrupt_that_python_ignores_is_not_lost(tmp_path, machine):
    (tmp_path / "ignores.py").write_text(IGNORED + machine)
    code = "from egiz_launch import launch; launch('ignores')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_the_code_is_that_of_the_table():
    assert egiz_launch.INTERRUPTED == egiz_cli.INTERRUPTED
    assert egiz_schema_launch.INTERRUPTED == egiz_cli.INTERRUPTED
