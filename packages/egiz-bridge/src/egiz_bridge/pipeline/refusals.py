"""What is known of the rows that a sink refuses, so that they are not sent again.

A field that the database keeps under another type is in every batch, and a backlog may
be older than its retention by days. Both are forgotten after a while, to notice that
the database was repaired.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from egiz_schema import influx

from egiz_bridge.batch import DeadLetter, Row
from egiz_bridge.errors import BEYOND_RETENTION, Blame
from egiz_bridge.pipeline.paths import path_of

_TRIED_AGAIN_AFTER_S = 30.0
_TYPES = {bool: "boolean", int: "integer", float: "float", str: "string"}


class Refusal(NamedTuple):
    """Why something is refused: the code, and the words of the database."""

    reason: str
    answer: str


class Part(NamedTuple):
    """What of a row is sent.

    Attributes:
        row: as it was received.
        sent: without the fields that are refused; nothing if no field is left.
        letter: of what is not sent; nothing if that is all.
    """

    row: Row
    sent: Row | None
    letter: DeadLetter | None


class Refusals:
    """The fields that one sink refuses, and the time that is too old for it."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, str, str], Refusal] = {}
        self._beyond_ms = -1
        self._beyond = ""
        self._forget_at_s = 0.0

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._fields) or self._beyond_ms >= 0

    def forget(self) -> None:
        """Try everything again: the database may have been repaired."""
        self._fields.clear()
        self._beyond_ms = -1

    def forget_if_due(self) -> None:
        """Do so if it is long ago that the first was learnt."""
        if time.monotonic() >= self._forget_at_s:
            self.forget()

    def learn_field(self, blame: Blame, refusal: Refusal) -> bool:
        """Whether it was not known that the field is refused."""
        key = (blame.measurement, blame.field, blame.type)
        if key in self._fields:
            return False
        self._begin()
        self._fields[key] = refusal
        return True

    def learn_beyond(self, time_ms: int, answer: str) -> None:
        """What is as old, or older, is beyond the retention."""
        self._begin()
        if time_ms > self._beyond_ms:
            self._beyond_ms, self._beyond = time_ms, answer

    def part(self, row: Row, also: Mapping[str, Refusal]) -> Part:
        """What of a row is to be sent.

        Args:
            row: as it was received.
            also: fields of this row that were refused for their value.
        """
        if self._beyond_ms >= 0 and time_of(row) <= self._beyond_ms:
            letter = DeadLetter(row.message, BEYOND_RETENTION, self._beyond)
            return Part(row, None, letter)
        if not also and not self._may_hold(row):
            return Part(row, row, None)
        return self._without(row, also)

    def _begin(self) -> None:
        if not self:
            self._forget_at_s = time.monotonic() + _TRIED_AGAIN_AFTER_S

    def _may_hold(self, row: Row) -> bool:
        """Quickly: whether it may have a field that is refused."""
        for measurement, field, _ in self._fields:
            is_simple = field.isidentifier()  # else it is escaped in the line
            if row.line.startswith(b"%b," % measurement.encode()) and (
                not is_simple or b"%b=" % field.encode() in row.line
            ):
                return True
        return False

    def _without(self, row: Row, also: Mapping[str, Refusal]) -> Part:
        point = row.message.point()
        kept: dict[str, influx.Value] = {}
        lost: list[str] = []
        refusal = None
        for name, value in point.fields.items():
            found = also.get(name) or self._refusal(point.kind, name, value)
            if found is None:
                kept[name] = value
            else:
                lost.append(name)
                refusal = found
        if refusal is None:
            return Part(row, row, None)
        letter = _letter(row, lost, refusal, is_whole=not kept)
        if not kept:
            return Part(row, None, letter)
        line = influx.to_line(point._replace(fields=kept))
        return Part(row, Row(row.message, line), letter)

    def _refusal(
        self, measurement: str, field: str, value: influx.Value
    ) -> Refusal | None:
        known = self._fields
        of_type = known.get((measurement, field, _TYPES[type(value)]))
        return of_type or known.get((measurement, field, ""))


def time_of(row: Row) -> int:
    """Milliseconds since 1970, as its line says it."""
    return int(row.line[row.line.rindex(b" ") + 1 :])


def _letter(
    row: Row, fields: list[str], refusal: Refusal, *, is_whole: bool
) -> DeadLetter:
    paths = ", ".join(path_of(row.message, field) for field in fields)
    rest = "it is all of the message" if is_whole else "the rest is written"
    detail = f"{paths} refused, {rest}: {refusal.answer}"
    return DeadLetter(row.message, refusal.reason, detail)
