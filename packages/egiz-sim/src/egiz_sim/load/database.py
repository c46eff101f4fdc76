"""Looks for a load's messages in a database: see `egiz_sim.load.observer`."""

import select
import sys
import time
from typing import Any

from egiz_sim.load import queries
from egiz_sim.load.observer import Records, fail, read_order

_POLL_S = 0.2
# What is found later than this is found by the last look, which is at everything.
_RECENT_MS = 30_000
# Of a proxy's page, or of JSON with other members.
_NO_ANSWER = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, RecursionError),
)


class DatabaseObserver:
    """Asks for recent points, five times a second.

    Args:
        order: `kind`, `url`, `username`, `secret` and names, as `stores` has them;
            `facility`, `boot` and `devices`, the ids of all devices.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        try:
            self._query = queries.QUERIES[order["kind"]](order)
        except OSError as error:
            fail(error)
        self._boot = order["boot"]
        self._devices = {name: number for number, name in enumerate(order["devices"])}
        self._records = Records()
        self._seen: set[tuple[str, int]] = set()

    def run(self) -> None:
        """Look until stdin is closed, and then once more at everything."""
        begun_ms = _now_ms() - _RECENT_MS
        self._look_or_fail(begun_ms)
        self._records.ready()
        was_there = True
        while not select.select([sys.stdin.buffer], [], [], _POLL_S)[0]:
            is_there = not self.look(_now_ms() - _RECENT_MS)
            if was_there and not is_there:
                self._records.disconnected()
            was_there = is_there
        self._look_or_fail(begun_ms)

    def _look_or_fail(self, since_ms: int) -> None:
        if reason := self.look(since_ms):
            fail(f"the database cannot be read: {reason}")

    def look(self, since_ms: int) -> str:
        """Note the points that were not there before; gives why it cannot.

        Two of one message have different times: a point is known by device and time.
        """
        try:
            points = self._query.points(since_ms)
        except OSError as error:
            return str(error) or repr(error)
        except _NO_ANSWER as error:
            return f"is it what the URL says? its answer is another: {error!r}"
        new = [
            (point, seq)
            for device_id, time_ms, boot, seq in points
            if boot == self._boot
            and device_id in self._devices
            and (point := (device_id, time_ms)) not in self._seen
        ]
        self._seen.update(point for point, _ in new)
        count = len(self._devices)
        self._records.seen(
            [seq * count + self._devices[device_id] for (device_id, _), seq in new]
        )
        return ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    DatabaseObserver(read_order()).run()
