"""A test puts back what it changes of its process: the next one shares it."""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread, current_thread, main_thread

import pytest
import structlog

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


# Each connection that was opened, and the thread that did.
_databases: list[tuple[sqlite3.Connection, Thread]] = []


def _note_database(event: str, arguments: tuple[object, ...]) -> None:
    if event == "sqlite3.connect/handle":
        database = arguments[0]
        assert isinstance(database, sqlite3.Connection)
        _databases.append((database, current_thread()))


sys.addaudithook(_note_database)


def _left_open() -> list[str]:
    """Python 3.13 warns of them, but in a test that happens to run later.

    A thread that a test has left behind on purpose may use the ones that it has opened.
    """
    found, in_use = [], []
    while _databases:
        database, thread = _databases.pop()
        if not _is_open(database):
            continue
        if thread.is_alive() and thread is not main_thread():
            in_use.append((database, thread))
            continue
        found.append(f"not closed: {database} of {thread}")
        with suppress(sqlite3.ProgrammingError):  # it is for that thread alone
            database.close()
    _databases.extend(in_use)
    return found


def _is_open(database: sqlite3.Connection) -> bool:
    try:
        assert database.in_transaction in {True, False}  # for any thread to ask
    except sqlite3.ProgrammingError:
        return False
    return True


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
    after = state()
    assert after == before, (before, after)
    left = _left_open()
    assert not left, left
