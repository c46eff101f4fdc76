"""Writes again, after an outage of a database, what was written in the seconds before.

VictoriaMetrics answers 204 some seconds before a point is on its disk, and a crash
loses what it had acknowledged. So the lines of the last seconds are kept here, and
written again once the database is back after an error, or has ended the connection, as
it does when it restarts between two writes. The same point twice is stored once.
"""

import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import structlog

from egiz_bridge.batch import Message, Row
from egiz_bridge.errors import Rejected, Unavailable
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.sinks.sink import Sink

# Of compressed lines, for each sink: of some 150,000 messages, which is 20 s at 7,500
# a second. The oldest are dropped first.
BYTES_MAX = 8 * 1024**2
_LEVEL = 1  # a µs for each message, and an eighth of the bytes
# Then it is the turn of new rows; the rest is written again with the next ones.
_TURN_S = 2.0
# Where so few lines do not get through, their number is not the reason.
_HALVED_MIN = 10

_NO_MESSAGE = Message("", b"", 0)  # of rows that were written before

_log = structlog.get_logger()


class Connected(Sink, Protocol):
    """A sink with a connection."""

    @property
    def losses(self) -> int:
        """How many connections the server ended without saying so."""


class _Written(NamedTuple):
    at_s: float
    lines: bytes  # compressed
    messages: int


class RewritingSink:
    """A sink that does so, for what was written in the last `seconds`."""

    def __init__(self, sink: Connected, seconds: float) -> None:
        self.name = sink.name
        self._sink = sink
        self._seconds = seconds
        self._kept: deque[_Written] = deque()
        self._lost: deque[_Written] = deque()  # as far as is known
        self._bytes = 0  # of both
        self._losses = self._given_up = 0
        self._limited_log = RateLimitedLog()

    def write(self, rows: Sequence[Row]) -> None:
        """As the sink does."""
        self._rewrite()
        try:
            self._sink.write(rows)
        except Unavailable:
            self._may_be_lost()
            raise
        if self._sink.losses != self._losses:
            self._losses = self._sink.losses
            self._may_be_lost()
            self._rewrite()
        lines = zlib.compress(b"\n".join([row.line for row in rows]), _LEVEL)
        self._bytes += len(lines)
        self._keep(lines, len(rows))

    def probe(self) -> None:
        """As the sink does."""
        self._sink.probe()

    def close(self) -> None:
        """As the sink does."""
        self._sink.close()

    def _may_be_lost(self) -> None:
        self._lost += self._kept
        self._kept.clear()

    def _rewrite(self) -> None:
        if not self._lost:
            return
        until_s = time.monotonic() + _TURN_S
        count, self._given_up = 0, 0
        while self._lost and time.monotonic() < until_s:
            count += self._rewrite_oldest()
        _log.info(
            "written again after an outage: what the database may have lost",
            sink=self.name,
            messages=count,
            given_up=self._given_up,
        )

    def _rewrite_oldest(self) -> int:
        oldest = self._lost[0]
        try:
            self._sink.write([Row(_NO_MESSAGE, zlib.decompress(oldest.lines))])
        except Rejected as error:
            if not error.is_about_rows:  # an address or a name was changed
                raise Unavailable(str(error)) from error
            # The rows that are refused now are found: the others are written again.
            if not self._halve_oldest(1):
                self._give_up_oldest(error)
            return 0
        except Unavailable as error:
            if error.may_be_size:  # it was one request when the network was faster
                self._halve_oldest(_HALVED_MIN)
            self._may_be_lost()
            raise
        self._lost.popleft()
        # From now on: the next crash may come before this is on the disk, either.
        self._keep(oldest.lines, oldest.messages)
        return oldest.messages

    def _halve_oldest(self, least: int) -> bool:
        """Make two requests of the oldest, if it has more rows than `least`."""
        oldest = self._lost[0]
        lines = zlib.decompress(oldest.lines).split(b"\n")
        if len(lines) <= least:
            return False
        self._drop_oldest(self._lost)
        middle = len(lines) // 2
        for half in (lines[middle:], lines[:middle]):
            compressed = zlib.compress(b"\n".join(half), _LEVEL)
            self._bytes += len(compressed)
            self._lost.appendleft(_Written(oldest.at_s, compressed, len(half)))
        return True

    def _give_up_oldest(self, error: Rejected) -> None:
        self._drop_oldest(self._lost)
        self._given_up += 1
        if times := self._limited_log.due("given up"):
            _log.warning(
                "not written again: the database refuses what it had accepted; if it"
                " has lost that, it is lost",
                sink=self.name,
                times=times,
                why=str(error),
            )

    def _keep(self, lines: bytes, count: int) -> None:
        now_s = time.monotonic()
        self._kept.append(_Written(now_s, lines, count))
        while self._bytes > BYTES_MAX:
            self._drop_oldest(self._lost or self._kept)
        while self._kept[0].at_s < now_s - self._seconds:
            self._drop_oldest(self._kept)

    def _drop_oldest(self, entries: deque[_Written]) -> None:
        self._bytes -= len(entries.popleft().lines)
