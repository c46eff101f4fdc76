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
        "user": os.geteuid(),
    }


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """What a command set up for its process is put back; all else is unchanged."""
    structlog.reset_defaults()
    handlers = [(number, signal.getsignal(number)) for number in _SIGNALS]
    before = state()
    yield
    for number, handler in handlers:
        signal.signal(number, handler)
    structlog.reset_defaults()
    assert state() == before
