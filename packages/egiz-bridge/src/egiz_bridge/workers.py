"""Several bridges on one machine, when one core is not enough: `run --workers N`.

Each is a process of its own, with a part of `mqtt.facilities`, a session, a spool and a
port. This one only starts them, hands on signals, and speaks for them to the service
manager, in the manager's own protocol: to each worker it is the manager.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

import structlog

from egiz_bridge.config.settings import ENV_PREFIX, load
from egiz_bridge.errors import BridgeError, ConfigError
from egiz_bridge.observe.systemd import Notifier

_TICK_S = 0.2
_REPORT_BYTES = 64 * 1024
_LAST_DEADLINE_S = 40.0  # more than a bridge needs to store what it received
_PR_SET_PDEATHSIG = 1  # prctl(2)

_log = structlog.get_logger()


def run(config: Path | None, count: int) -> None:
    """Run `count` bridges until SIGTERM or SIGINT. SIGHUP is handed on.

    If one of them ends by itself the others are stopped: a factory that is
    archived in part is harder to notice than a restart.

    Raises:
        ConfigError: they cannot share what is configured.
        BridgeError: one of them has ended by itself.
    """
    _check_divisible(config, count)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        signals = stack.enter_context(_signals())
        workers = []
        for index in range(1, count + 1):
            workers.append(Worker(config, index, count, directory))
            stack.callback(workers[-1].close)
        _Team(workers, Notifier()).run(signals)


class Worker:
    """One bridge, and what it has reported."""

    def __init__(
        self, config: Path | None, index: int, count: int, directory: Path
    ) -> None:
        self.name = f"{index}/{count}"
        self.is_ready = False
        self.is_alive = False
        self.status = "starting"
        address = str(directory / str(index))
        self._notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify_socket.bind(address)
        self._notify_socket.setblocking(False)
        environment = {**os.environ, f"{ENV_PREFIX}SHARD": self.name}
        environment |= {"NOTIFY_SOCKET": address}
        environment.pop("WATCHDOG_PID", None)
        options = ["--config", str(config)] if config else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "egiz_bridge", "run", *options],
            env=environment,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # no thread is running yet
        )

    def listen(self) -> None:
        """Read what it has reported since."""
        with suppress(BlockingIOError):
            while True:
                # What does not fit is cut, and may be cut within a character.
                report = self._notify_socket.recv(_REPORT_BYTES).decode(
                    errors="replace"
                )
                for message in report.split("\n"):
                    self._handle_message(message)

    def _handle_message(self, message: str) -> None:
        match message.partition("="):
            case "READY", _, _:
                self.is_ready = True
            case "RELOADING", _, _:
                self.is_ready = False
            case "WATCHDOG", _, _:
                self.is_alive = True
            case "STATUS", _, status:
                self.status = status

    def exit_code(self) -> int | None:
        """How it ended, if it has."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Hand on a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """End it, by force if it does not end."""
        self._process.terminate()
        try:
            self._process.wait(_LAST_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._notify_socket.close()


class _Team:
    def __init__(self, workers: Sequence[Worker], notifier: Notifier) -> None:
        self._workers = workers
        self._notifier = notifier
        self._is_ready = False
        self._status = ""

    def run(self, signals: list[int]) -> None:
        while True:
            while signals:
                number = signals.pop(0)
                self._hand_on(number)
                if number != signal.SIGHUP:
                    return
            for worker in self._workers:
                worker.listen()
            self._report()
            self._check_workers()
            time.sleep(_TICK_S)

    def _hand_on(self, number: int) -> None:
        if number != signal.SIGHUP:
            self._notifier.send("STOPPING=1")
            number = signal.SIGTERM
        for worker in self._workers:
            worker.signal(number)

    def _check_workers(self) -> None:
        for worker in self._workers:
            if (code := worker.exit_code()) is not None:
                self._hand_on(signal.SIGTERM)
                raise BridgeError(f"worker {worker.name} has ended with code {code}")

    def _report(self) -> None:
        is_ready = all(worker.is_ready for worker in self._workers)
        if is_ready != self._is_ready:
            self._is_ready = is_ready
            now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            reloading = ("RELOADING=1", f"MONOTONIC_USEC={now_us}")
            self._notifier.send(*(("READY=1",) if is_ready else reloading))
        status = "; ".join(f"{one.name}: {one.status}" for one in self._workers)
        if status != self._status:
            self._status = status
            self._notifier.status(status)
        if all(worker.is_alive for worker in self._workers):
            self._notifier.send("WATCHDOG=1")
            for worker in self._workers:
                worker.is_alive = False


def _check_divisible(config: Path | None, count: int) -> None:
    settings = load(config)
    if settings.shard:
        raise ConfigError(["shard: is for one bridge; --workers starts all shards"])
    for index in range(1, count + 1):
        settings.model_copy(update={"shard": f"{index}/{count}"}).for_shard()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that came, in order; SIGINT goes to the workers as SIGTERM."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    previous = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    """In the worker: no worker goes on if this process is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Until it notes them: one while the interpreter starts would end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Ctrl-C reaches all processes of a terminal; it is for the one that hands it on.
    os.setpgid(0, 0)
