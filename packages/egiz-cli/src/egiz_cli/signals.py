"""What ends a program from outside: Ctrl-C, a supervisor, a terminal that is closed."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import subprocess

_Text = TypeVar("_Text", str, bytes)

_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGHUP)


def ending_signals() -> list[signal.Signals]:
    """Those that end a program, without those that are ignored, as `nohup` does."""
    numbers = (signal.SIGINT, *_FROM_OUTSIDE)
    return [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]


@contextmanager
def ended_in_good_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, and then the process.

    By itself, Python ends at once: keys stay in a temporary directory, and what was
    started goes on and holds the port. A command may have handlers of its own.
    """
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        if not came:  # a terminal that is closed sends several
            came.append(number)
            raise KeyboardInterrupt

    ours = _without_handler()
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if came:
            _end_by(came[0])


def _kill(process: "subprocess.Popen[_Text]") -> None:
    process.kill()
    process.wait()


@contextmanager
def child_process(
    start: "Callable[[], subprocess.Popen[_Text]]",
    end: "Callable[[subprocess.Popen[_Text]], object]" = _kill,
) -> "Iterator[subprocess.Popen[_Text]]":
    """A program that runs as long as the block, however that ends.

    A signal that comes while it starts waits until it is known which one is to be
    ended: it would go on without this program.

    Args:
        start: starts it; what it raises is passed on.
        end: ends it, and waits for that.
    """
    process = None
    try:
        with _held():
            process = start()
        yield process
    finally:
        if process is not None:
            end(process)


@contextmanager
def _held() -> Iterator[None]:
    """What would end the block is sent again at its end."""
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    numbers = ending_signals() if is_main else []  # only that one may have handlers
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _without_handler() -> list[signal.Signals]:
    if threading.current_thread() is not threading.main_thread():
        return []  # only that one may have handlers
    return [n for n in _FROM_OUTSIDE if signal.getsignal(n) is signal.SIG_DFL]


def _end_by(number: int) -> None:
    """So that whoever started the program sees which signal it was."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the terminal has gone
            stream.flush()
    os.kill(os.getpid(), number)
