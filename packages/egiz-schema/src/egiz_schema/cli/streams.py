"""The standard streams, as whoever started the program has left them."""

import io
import os
import sys
from typing import Any


def prepare() -> None:
    """Open those that are closed, and escape what an alphabet lacks."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started it: no other file may get its number
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _let_stderr_fail()


class _Unheard(io.FileIO):
    """A stderr that ends nothing when its disk is full or its terminal was closed."""

    def write(self, text: Any) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError:
            return len(text)  # it is lost: there is no other place to say so


def _let_stderr_fail() -> None:
    stream = sys.__stderr__
    if stream is None or sys.stderr is not stream:
        return  # a test has put another there
    raw = io.BufferedWriter(_Unheard(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(
        raw, stream.encoding, "backslashreplace", line_buffering=True
    )
