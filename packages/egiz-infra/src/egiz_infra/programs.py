"""Programs of others, with a limit of time: a lock is held while they run.

What hangs is ended with all that it has started itself. A shell that is ended alone
leaves its programs, which keep its output open.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from egiz_cli import child_process


def run(command: list[str], within_s: float) -> "subprocess.CompletedProcess[str]":
    """Run it to its end.

    Raises:
        TimeoutError: it did not end in time.
        OSError: it cannot be run.
    """
    with _running(command, subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it has not ended within {within_s:.0f} s") from None
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@contextmanager
def lines_of(command: list[str], within_s: float) -> Iterator[Iterator[str]]:
    """What it prints, line by line, until the block ends; that ends the program, too.

    Raises:
        TimeoutError: from the block, if it was the time that ended the program.
        OSError: it cannot be run.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    with _running(command, subprocess.STDOUT) as process:
        assert process.stdout is not None
        timer = threading.Timer(within_s, end)
        timer.start()
        try:
            yield iter(process.stdout)
        finally:
            timer.cancel()
    if is_late.is_set():
        raise TimeoutError(f"it has not answered within {within_s:.0f} s")


def reason_of(error: OSError | ValueError) -> str:
    """Why a command cannot be run, without its words: they may hold a password."""
    if not isinstance(error, OSError) or not error.filename:
        return str(error)
    name = str(error.filename).partition("=")[0]  # PASSWORD=... as in a shell
    return f"{error.strerror}: {name!r}"


def _running(
    command: list[str], errors: int
) -> "AbstractContextManager[subprocess.Popen[str]]":
    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    return child_process(start, _end)


def _end(process: "subprocess.Popen[str]") -> None:
    with process:  # which closes its output, and waits
        if process.poll() is None:
            _kill(process)


def _kill(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
