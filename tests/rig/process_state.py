"""A test puts back what it changes of its process: the next one shares it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def state() -> dict[str, object]:
    """What all tests of a process share; a change of it is a fault of the test."""
    return {
        "directory": Path.cwd(),
        "umask": _umask(),
        "network": Path("/proc/self/ns/net").readlink(),
        "signals": [signal.getsignal(number) for number in _SIGNALS],
        "user": os.geteuid(),
    }


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """The log is set up as at the start; all else must be as the test found it."""
    structlog.reset_defaults()  # a command that ran in this process has changed it
    before = state()
    yield
    structlog.reset_defaults()
    assert state() == before
