"""Log lines on stderr: for people on a terminal, key=value for everything else."""

import logging
import sys
from collections import Counter
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TextIO, cast

import structlog

from egiz_bridge.printable import escaped

_OF_LINES = ("exception", "frames")  # the words of Python


class Lossy:
    """A log that accepts no line loses that line: it must not end the program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if it can be: the disk of the log may be full, its reader gone."""
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, if it can be."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def without_control_characters(
    _: object, __: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Escape them: what a broker or a database says must not forge a line."""
    for key, value in event.items():
        if isinstance(value, str) and key not in _OF_LINES:
            event[key] = escaped(value)
    return event


def configure() -> None:
    """Set up structlog for the process."""
    renderer: structlog.typing.Processor
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    else:
        renderer = structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            without_control_characters,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Lossy(sys.stderr))),
    )


class RateLimitedLog:
    """A cause is logged at its 1st, 2nd, 4th, 8th ... time, until it is over."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def due(self, cause: str) -> int:
        """How many times it has happened, if it is to be logged now; else 0."""
        self._times[cause] += 1
        times = self._times[cause]
        return 0 if times & (times - 1) else times

    def over(self, cause: str) -> None:
        """Begin to count again with the next time."""
        self._times.pop(cause, None)
