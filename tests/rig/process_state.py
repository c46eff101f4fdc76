"""A test puts back what it changes of its process: the next one shares it."""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import current_thread, main_thread

import pytest
import structlog

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


_databases: list[sqlite3.Connection] = []


def _note_database(event: str, arguments: tuple[object, ...]) -> None:
    # A thread that a test has left behind on purpose may open one in the next test.
    if event == "sqlite3.connect/handle" and current_thread() is main_thread():
        database = arguments[0]
        assert isinstance(database, sqlite3.Connection)
        _databases.append(database)


sys.addaudithook(_note_database)


def _open_databases() -> list[str]:
    """Python 3.13 warns of them, but in a test that happens to run later."""
    found = []
    while _databases:
        database = _databases.pop()
        try:
            files = database.execute("PRAGMA database_list").fetchall()
        except sqlite3.Error:
            continue  # it is closed
        found.append(f"not closed: {files}")
        database.close()
    return found


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
    _databases.clear()
    yield
    for number, handler in handlers:
        signal.signal(number, handler)
    structlog.reset_defaults()
    after = state()
    assert after == before, (before, after)
    left = _open_databases()
    assert not left, left
