"""What ends a program from outside ends what it has started, too."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from egiz_cli import free_port
from rig.waiting import eventually

# The signal comes when the child is there, and before its parent knows it.
_PARENT = """
import os, signal, subprocess, sys
from egiz_cli import child_process
from egiz_cli.signals import ended_in_good_order
def start():
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(100_000):
        pass
    print("known", flush=True)
    return child
def end(child):
    child.kill()
    child.wait()
with ended_in_good_order(), child_process(start, end):
    print("not ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_starts_as_a_signal_comes_is_ended(number):
    command = [sys.executable, "-c", _PARENT, str(int(number))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -number
    pid, *others = done.stdout.split()
    assert others == ["known"]
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_what_a_start_raises_is_passed_on_and_signals_are_as_before():
    code = _PARENT.replace('["sleep", "600"]', '["no-such-program"]')
    code += 'print("never")\n'
    command = [sys.executable, "-c", code, "15"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "FileNotFoundError" in done.stderr


def test_free_ports_are_below_those_that_a_client_is_given():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32_768  # Linux's default; macOS has 49,152


def test_two_processes_that_ask_at_once_get_ports_of_their_own():
    code = "import egiz_cli; print(egiz_cli.free_port())"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    found = [process.communicate(timeout=60)[0] for process in running]
    assert len(set(found)) == len(running)
