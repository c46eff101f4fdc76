"""Requests to one sink, with as many rows in each as get through in time.

A slow link cannot carry a thousand rows before the deadline, and some databases answer
500 to much at once, and accept less. So after such a failure the next requests are
smaller, and grow again as long as they are quick.
"""

import sys
import time
from collections.abc import Callable, Sequence

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.sinks.sink import Sink

# Where so few do not get through, the number of rows is not the reason.
ROWS_MIN = 10
# A request that took longer may not be in time with twice the rows.
QUICK_S = 1.0
# Before as many rows are tried again as failed while fewer got through.
_AGAIN_FIRST_S, _AGAIN_MAX_S, _AGAIN_FACTOR = 1.0, 256.0, 4.0


class Requests:
    """Sends them, and learns from each how large the next ones may be.

    Attributes:
        rows_max: how many rows the next one may have.

    Args:
        sink: raises nothing but `Rejected` and `Unavailable`.
        is_alive: called before each request.
        observe: called after each, with the seconds until its answer, or its failure.
    """

    def __init__(
        self,
        sink: Sink,
        is_alive: Callable[[], None],
        observe: Callable[[float], None],
    ) -> None:
        self.rows_max = sys.maxsize
        self._sink = sink
        self._is_alive = is_alive
        self._observe = observe
        self._failed_rows = sys.maxsize
        self._again_s = 0.0
        self._again_at_s = 0.0
        self._has_fewer_written = False  # since the last failure

    def send(self, rows: Sequence[Row]) -> None:
        """Write rows in one request.

        Raises:
            Rejected, Unavailable: as `Sink.write`.
        """
        self._is_alive()
        begun_s = time.monotonic()
        try:
            self._sink.write(rows)
        except Unavailable as error:
            if error.may_be_size and len(rows) > ROWS_MIN:
                self._shrink(len(rows))
            raise
        finally:
            took_s = time.monotonic() - begun_s
            self._observe(took_s)
        self._has_fewer_written = True
        if len(rows) >= self._failed_rows:
            self._failed_rows, self._again_s = sys.maxsize, 0.0
        if len(rows) >= self.rows_max and took_s < QUICK_S:
            self._grow()

    def _shrink(self, rows: int) -> None:
        if self._has_fewer_written:  # so it was the size, and may be so again
            longer_s = min(self._again_s * _AGAIN_FACTOR, _AGAIN_MAX_S)
            self._again_s = max(longer_s, _AGAIN_FIRST_S)
        self._has_fewer_written = False
        self._again_at_s = time.monotonic() + self._again_s
        self._failed_rows = rows
        self.rows_max = max(rows // 2, ROWS_MIN)

    def _grow(self) -> None:
        rows = self.rows_max * 2
        if rows < self._failed_rows or time.monotonic() >= self._again_at_s:
            self.rows_max = rows
