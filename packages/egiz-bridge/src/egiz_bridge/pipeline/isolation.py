"""Writes what can be written, and finds the rows that cannot.

A database says that some rows of a batch are bad, not always which. They are found by
halving. A field that the database keeps under another type would make that endless, as
it is in every batch: so a conflict is remembered, and rows with that field are
separated before they are sent. Now and then one is tried, to notice the repair.
"""

import re
import time
from collections.abc import Sequence

from egiz_bridge.batch import DeadLetter, Row
from egiz_bridge.errors import Rejected
from egiz_bridge.sinks.sink import Sink

REJECTED = "rejected"
FIELD_TYPE_CONFLICT = "field_type_conflict"

_TRIED_AGAIN_AFTER_S = 30.0

# As InfluxDB 1 and 2 say it: input field "x" on measurement "y" is type float, already
# exists as type string.
_CONFLICT = re.compile(r'input field \\?"(.+?)\\?" on measurement \\?"(.+?)\\?"')


class Isolation:
    """What is known of the rows that one sink rejects."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._conflicts: dict[tuple[bytes, bytes], str] = {}
        self._try_again_at = 0.0

    def write(self, rows: Sequence[Row]) -> list[DeadLetter]:
        """Write all that can be written; what cannot is returned, with the reason.

        Rows may be written more than once, which does no harm.

        Raises:
            Unavailable: nothing is known of the rows; they may be written later.
        """
        if time.monotonic() >= self._try_again_at:
            self.forget()
        good, dead = self._split_known_conflicts(rows)
        return dead + (self._bisect(good) if good else [])

    def forget(self) -> None:
        """Try everything again: the database may have been repaired."""
        self._conflicts.clear()

    def _bisect(self, rows: Sequence[Row]) -> list[DeadLetter]:
        try:
            self._sink.write(rows)
        except Rejected as error:
            if self._remember_conflict(str(error)):
                return self.write(rows)
            if len(rows) == 1:
                return [DeadLetter(rows[0].message, REJECTED, str(error))]
            middle = len(rows) // 2
            return self._bisect(rows[:middle]) + self._bisect(rows[middle:])
        return []

    def _remember_conflict(self, answer: str) -> bool:
        """Whether the answer names a conflict that was not known."""
        found = _CONFLICT.search(answer)
        if found is None:
            return False
        field, measurement = (name.encode() for name in found.groups())
        if (measurement, field) in self._conflicts:
            return False
        if not self._conflicts:
            self._try_again_at = time.monotonic() + _TRIED_AGAIN_AFTER_S
        self._conflicts[measurement, field] = answer
        return True

    def _split_known_conflicts(
        self, rows: Sequence[Row]
    ) -> tuple[list[Row], list[DeadLetter]]:
        good: list[Row] = list(rows)
        dead: list[DeadLetter] = []
        for (measurement, field), answer in self._conflicts.items():
            kept = []
            for row in good:
                if _has(row, measurement, field):
                    dead.append(DeadLetter(row.message, FIELD_TYPE_CONFLICT, answer))
                else:
                    kept.append(row)
            good = kept
        return good, dead


def _has(row: Row, measurement: bytes, field: bytes) -> bool:
    if not row.line.startswith(measurement + b",") or field + b"=" not in row.line:
        return False
    return field.decode() in row.message.point().fields  # it was no part of a text
