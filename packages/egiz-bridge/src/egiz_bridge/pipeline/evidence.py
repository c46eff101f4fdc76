"""Rows that show whether a sink accepts any row at all."""

import random
from collections.abc import Sequence

from egiz_bridge.batch import Row

_OF_A_GROUP = 4
_OF_OTHERS = 8


class Evidence:
    """The row that was accepted last, and some that came while the sink was held.

    One of each series: a device that sends nothing but refused rows proves nothing.

    Attributes:
        accepted: the row that was accepted last.
    """

    def __init__(self) -> None:
        self.accepted: Row | None = None
        self._others: dict[bytes, Row] = {}

    def is_accepted(self, row: Row) -> None:
        """The sink has stored it, or has said something of rows when it was sent."""
        self.accepted = row

    def is_useless(self, row: Row) -> None:
        """It is known to be refused."""
        if row is self.accepted:
            self.accepted = None

    def spooled(self, rows: Sequence[Row]) -> None:
        """Rows that were spooled and may be tried; a few are kept."""
        for row in rows[-_OF_OTHERS:]:
            series = row.line.partition(b" ")[0]
            self._others.pop(series, None)
            self._others[series] = row
        while len(self._others) > _OF_OTHERS:
            del self._others[next(iter(self._others))]

    def rows(self, group: Sequence[Row]) -> list[Row]:
        """What to try when a group was refused, the likeliest to be accepted first."""
        accepted = [self.accepted] if self.accepted else []
        count = min(len(group), _OF_A_GROUP)
        # Of one row alone it is known that it is refused.
        of_group = random.sample(list(group), count) if len(group) > 1 else []
        return [*accepted, *of_group, *reversed(self._others.values())]
