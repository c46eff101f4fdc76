"""One turn of isolating what a sink refuses: a stack of groups, and a bound.

A group is written, or divided, or it becomes dead letters. Nothing that was done is
undone by an error: what remains of the stack is the rest.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from egiz_bridge.batch import DeadLetter, Row
from egiz_bridge.errors import BEYOND_RETENTION, Blame, Rejected, Unavailable
from egiz_bridge.pipeline.evidence import Evidence
from egiz_bridge.pipeline.refusals import Part, Refusal, Refusals, time_of
from egiz_bridge.pipeline.requests import Requests

# The last request of a turn may last longer; it has a deadline of its own.
REQUESTS_MAX = 64
SECONDS_MAX = 2.0
# A proxy that refuses some requests at random must not cost a row.
_CONFIRMATIONS = 3


class Outcome(NamedTuple):
    """What became of rows.

    Attributes:
        written: how many are stored, those without a field included.
        partial: how many of them are stored without a field.
        dead: how many are dead letters.
        rest: those that are neither, in groups that are to be tried one by one.
        error: why the turn ended before its time, if so.
        has_asked: whether the sink was asked at all.
    """

    written: int
    partial: int
    dead: int
    rest: list[list[Row]]
    error: Unavailable | None
    has_asked: bool = True


class Turn:
    """Writes rows, as far as it gets.

    Args:
        requests: write rows; raise `Rejected` or `Unavailable`.
        add_dead_letters: keeps them; raises `Unavailable`.
        refusals: what is known of the sink; more may be learnt.
        evidence: rows that the sink has accepted, or may accept.
        rows: what to write.
    """

    def __init__(
        self,
        requests: Requests,
        add_dead_letters: Callable[[list[DeadLetter]], None],
        refusals: Refusals,
        evidence: Evidence,
        rows: Sequence[Row],
    ) -> None:
        self._requests, self._add_dead_letters = requests, add_dead_letters
        self._refusals, self._evidence = refusals, evidence
        self._groups = [list(rows)]
        self._also: dict[int, dict[str, Refusal]] = {}  # by the id of a row
        self._is_proven = self._is_counted = False
        self._sent = 0
        self._ends_at_s = time.monotonic() + SECONDS_MAX
        self._written = self._partial = self._dead = 0

    def run(self) -> Outcome:
        """Go on until all is done, the turn is over or the sink cannot be used."""
        error = None
        try:
            self._step()
            while self._groups and not self._is_over():
                self._step()
        except Unavailable as raised:
            error = raised.without_frames()
        rest = self._groups[::-1]
        counts = (self._written, self._partial, self._dead)
        return Outcome(*counts, rest, error, has_asked=self._sent > 0)

    def _is_over(self) -> bool:
        return self._sent >= REQUESTS_MAX or time.monotonic() >= self._ends_at_s

    def _step(self) -> None:
        """Send the group on top of the stack, as much as one request may have."""
        most = self._requests.rows_max
        group, later = self._groups[-1][:most], self._groups[-1][most:]
        if not (self._refusals or self._also):  # nearly always
            sent, parts = group, []
        else:
            parts = [self._part(row) for row in group]
            sent = [part.sent for part in parts if part.sent]
        try:
            if sent:
                self._send(sent)
        except Rejected as refused:
            parts = parts or [Part(row, row, None) for row in group]
            self._done([part for part in parts if not part.sent])
            parts = [part for part in parts if part.sent]
            self._groups[-1:] = [*_some(later), [part.row for part in parts]]
            self._divide(parts, refused)
        else:
            if parts:
                self._done(parts)
            else:
                self._written += len(group)
            self._groups[-1:] = _some(later)

    def _part(self, row: Row) -> Part:
        also = self._also.get(id(row))
        if self._refusals or also:
            return self._refusals.part(row, also or {})
        return Part(row, row, None)

    def _send(self, rows: list[Row]) -> None:
        self._sent += 1
        self._requests.send(rows)
        self._evidence.is_accepted(rows[-1])

    def _done(self, parts: Sequence[Part]) -> None:
        """Count parts that are written, or refused as a whole."""
        if letters := [part.letter for part in parts if part.letter]:
            self._add_dead_letters(letters)
        written = sum(part.sent is not None for part in parts)
        self._written += written
        self._dead += len(parts) - written
        self._partial += len(letters) - (len(parts) - written)

    def _divide(self, parts: Sequence[Part], refused: Rejected) -> None:
        """Replace the group on top by what its refusal leaves to be tried."""
        rows = self._groups[-1]
        if self._follow_blames(parts, refused):
            return
        if refused.reason == BEYOND_RETENTION:
            self._divide_by_time(rows, refused)
        elif refused.is_about_rows and refused.dropped >= len(rows):
            if not refused.is_named:
                self._prove(rows, refused)
            self._make_dead(rows, refused)
        elif len(rows) > 1:
            if not (refused.is_about_rows or refused.is_too_large):
                self._prove(rows, refused)
            self._split(rows, len(rows) // 2)
        else:
            if not refused.is_about_rows:
                self._confirm(parts[0], refused)
            elif not refused.is_named:
                self._prove([], refused)
            self._make_dead(rows, refused)

    def _split(self, rows: list[Row], at: int) -> None:
        """The first part is tried first."""
        self._groups[-1:] = [rows[at:], rows[:at]]

    def _make_dead(self, rows: list[Row], refused: Rejected) -> None:
        """All rows of the group on top are dead letters."""
        self._add_dead_letters(_letters([(row, refused) for row in rows]))
        self._dead += len(rows)
        self._groups.pop()

    def _divide_by_time(self, rows: list[Row], refused: Rejected) -> None:
        """What is older than a row that is beyond the retention is so, too.

        So the newest are tried first. A database says how many there were; if that
        leads nowhere once, half of the group is as good a guess.
        """
        rows = sorted(rows, key=time_of, reverse=True)
        if refused.dropped >= len(rows) or len(rows) == 1:
            self._refusals.learn_beyond(time_of(rows[0]), str(refused))
            self._make_dead(rows, refused)
            return
        at = len(rows) // 2
        if refused.dropped and not self._is_counted:
            at = len(rows) - refused.dropped
            self._is_counted = True
        self._split(rows, at)

    def _follow_blames(self, parts: Sequence[Part], refused: Rejected) -> bool:
        """Whether the answer named something that is new, and the group has changed."""
        has_learnt = False
        named: dict[int, bool] = {}
        for blame in refused.blames:
            at = 0 if blame.row is None and len(parts) == 1 else blame.row
            if at is not None and not 0 <= at < len(parts):
                continue
            if blame.field:
                row = None if at is None else parts[at].row
                has_learnt |= self._learn_field(blame, row, refused)
            elif at is not None:
                named[at] = blame.is_sure
        if named and not has_learnt:
            self._separate(named, refused)
            return True
        return has_learnt

    def _learn_field(self, blame: Blame, row: Row | None, refused: Rejected) -> bool:
        refusal = Refusal(refused.reason, str(refused))
        if row is None:
            return blame.is_lasting and self._refusals.learn_field(blame, refusal)
        point = row.message.point()
        # QuestDB gives a name up to the character that it does not accept.
        names = [name for name in point.fields if name.startswith(blame.field)]
        if not names:
            return False
        named = blame._replace(measurement=point.kind, field=min(names, key=len))
        if blame.is_lasting:
            return self._refusals.learn_field(named, refusal)
        also = self._also.setdefault(id(row), {})
        is_new = named.field not in also
        also[named.field] = refusal
        return is_new

    def _separate(self, named: dict[int, bool], refused: Rejected) -> None:
        """Rows that were quoted are dead letters; those with a number are tried alone.

        A number may count lines otherwise than we do.
        """
        rows = self._groups[-1]
        is_alone = len(rows) == 1
        dead = [rows[at] for at, is_sure in named.items() if is_sure or is_alone]
        alone = [] if is_alone else [[rows[at]] for at in named if not named[at]]
        self._add_dead_letters(_letters([(row, refused) for row in dead]))
        self._dead += len(dead)
        others = [row for at, row in enumerate(rows) if at not in named]
        self._groups[-1:] = [*alone, *_some(others)]

    def _confirm(self, part: Part, refused: Rejected) -> None:
        """A row was refused without a word of rows: it is, again, while others are not.

        Raises:
            Unavailable: it is not always so; the next turn tries again.
        """
        self._prove([], refused)
        for _ in range(_CONFIRMATIONS):
            accepted = self._evidence.accepted
            if accepted is None or not self._gets_through(accepted):
                raise Unavailable(f"{refused}; as is a row that was accepted before")
            if self._gets_through(part.row):
                raise Unavailable(f"{refused}; then the same row got through")

    def _prove(self, group: Sequence[Row], refused: Rejected) -> None:
        """Find a row that gets through.

        Raises:
            Unavailable: there is none, so that the refusal is not about rows.
        """
        if self._is_proven:
            return
        for tried, row in enumerate(self._evidence.rows(group)):
            if tried and self._is_over():
                break
            if self._gets_through(row):
                self._is_proven = True
                return
        raise Unavailable(f"{refused}; no row gets through: are its settings right?")

    def _gets_through(self, row: Row) -> bool:
        sent = self._part(row).sent
        if sent is None:  # too old by now, say
            self._evidence.is_useless(row)
            return False
        try:
            self._send([sent])
        except Rejected as refused:
            if not refused.is_named:
                return False
            self._evidence.is_accepted(row)  # as good: it is read as a row
        return True


def _some(group: list[Row]) -> list[list[Row]]:
    return [group] if group else []


def _letters(refused: Sequence[tuple[Row, Rejected]]) -> list[DeadLetter]:
    return [DeadLetter(row.message, error.reason, str(error)) for row, error in refused]
