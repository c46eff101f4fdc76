"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.error import HTTPError

_T = TypeVar("_T")
_PAUSE_S = 0.02


def eventually(check: Callable[[], _T], timeout: float = 60.0) -> _T:
    """What `check` gives once it is true in the sense of Python.

    Args:
        check: called again and again; an OSError of it counts as "not yet".
        timeout: in seconds; generous, since it costs nothing where all is well, and the
            machine may be busy with something else.

    Raises:
        AssertionError: with the last thing that `check` gave.
    """
    until = time.monotonic() + timeout
    while True:
        try:
            seen: _T | OSError = check()
        except OSError as error:
            if isinstance(error, HTTPError):
                error.close()
            seen = error
        if seen and not isinstance(seen, OSError):
            return seen
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout} s; last seen: {seen!r}")
        time.sleep(_PAUSE_S)
