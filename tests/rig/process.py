"""Processes of a test: started, waited for, and gone when it ends."""

import ctypes
import fcntl
import functools
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from rig.waiting import eventually

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Debian keeps servers where a user's PATH does not look.
_ALSO_ON_PATH = "/usr/sbin:/usr/local/sbin"
# Below those that a kernel gives to whoever asks for any: while a server is stopped, no
# client gets its port, and no client connects to itself.
_FIRST_PORT, _PORTS_OF_A_RUN, _RUNS = 10_000, 250, 40


def free_port(in_a_row: int = 1) -> int:
    """A TCP port of the loopback interface that no program listens on or will be given.

    Args:
        in_a_row: how many are wanted; the first of them is returned.
    """
    ports = _own_ports()
    while True:
        found = list(itertools.islice(ports, in_a_row))
        if found[-1] - found[0] == in_a_row - 1 and all(map(_is_free, found)):
            return found[0]


@functools.cache
def _own_ports() -> Iterator[int]:
    """The ports of this process, in turn: other runs of the tests have others."""
    locks = Path(tempfile.gettempdir()) / f"egiz-test-ports-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    for run in range(_RUNS):
        lock = os.open(locks / str(run), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        # The lock ends with this process.
        first = _FIRST_PORT + run * _PORTS_OF_A_RUN
        return itertools.cycle(range(first, first + _PORTS_OF_A_RUN))
    raise AssertionError(f"{_RUNS} runs of the tests at once, and no ports left")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def require(program: str, install: str) -> str:
    """The path of a program that a test needs.

    Without it the test is skipped; with CI=true it fails, so that nothing is left out
    unnoticed in CI.
    """
    path = shutil.which(program, path=f"{os.environ['PATH']}:{_ALSO_ON_PATH}")
    if path is not None:
        return path
    reason = f"{program} is not installed: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def own_program(name: str) -> str:
    """The path of a program of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


class Process:
    """A program with its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                # Tests start processes before threads that could hold a lock it needs.
                preexec_fn=_end_with_the_tests if sys.platform == "linux" else None,  # noqa: PLW1509  # as above
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def output(self) -> str:
        """What it has written so far, on stdout and stderr."""
        return self._log.read_text(errors="replace")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def wait_until(self, is_ready: Callable[[], object], timeout: float = 60.0) -> None:
        """Wait for a condition; fail at once, with the output, if it ends before."""

        def checked() -> object:
            assert self.is_running(), f"it has ended:\n{self.output()}"
            return is_ready()

        eventually(checked, timeout)

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Wait until it has written `text`."""
        self.wait_until(lambda: text in self.output(), timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """Wait until it ends; gives its exit code."""
        return self._popen.wait(timeout)

    def terminate(self, timeout: float = 60.0) -> int:
        """Ask it to end (SIGTERM); gives its exit code."""
        self._popen.terminate()
        return self.wait(timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def interrupt(self, timeout: float = 60.0) -> int:
        """Press Ctrl-C (SIGINT); gives its exit code."""
        self._popen.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def kill(self) -> None:
        """End it without a chance to clean up (SIGKILL)."""
        self._popen.kill()
        self._popen.wait()


def _end_with_the_tests() -> None:
    """Have the kernel end this server if pytest is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
