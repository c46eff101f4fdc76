"""Dead letters: messages that were rejected, with the reason.

`DeadLetters` is the bridge's part. The functions are for the commands of operators,
while the bridge runs or not; they share nothing with it but the file.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from egiz_schema.limits import PAYLOAD_BYTES_MAX

from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.spool import replays
from egiz_bridge.spool.access import opened
from egiz_bridge.spool.quota import Quota

_DEAD_SHARE = 10  # dead letters may use this part of max_bytes
_REPLAYED_AT_ONCE = 1000  # letters, in one transaction and one batch

_COLUMNS = "id, sink, reason, detail, topic, payload, payload_bytes, received_ms"


class DeadLetters:
    """The dead letters in the spool's file: a tenth of `spool.max_bytes` at most.

    Attributes:
        dropped: how many were deleted to make room for newer ones.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self.dropped = 0

    def add(self, letters: Sequence[DeadLetter], sink: str = "") -> None:
        """Keep messages that will never be written; fsynced when it returns.

        Args:
            letters: what, and why.
            sink: which database rejected them; empty if none saw them.

        Raises:
            Unavailable: the disk does not accept them.
        """
        kept = [letter.cut() for letter in letters]
        rows = [_row(sink, letter) for letter in kept]
        added = sum(_size(letter) for letter in kept)
        with self._quota.transaction() as db:
            db.executemany(
                "INSERT INTO dead_letters"
                " (sink, reason, detail, topic, payload, payload_bytes, received_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            dropped, freed = self._drop_oldest(db, self._quota.dead_bytes + added)
            self._quota.dead_bytes += added - freed
        self.dropped += dropped  # not before the commit: a full disk undoes it

    def _drop_oldest(self, db: sqlite3.Connection, used: int) -> tuple[int, int]:
        """Make room; returns (letters, bytes) that were deleted."""
        dropped = freed = 0
        allowed = self._quota.max_bytes // _DEAD_SHARE
        while (excess := used - freed - allowed) > 0:
            gone = db.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters ORDER BY id LIMIT ?)"
                " RETURNING length(topic) + length(payload)",
                (1 + excess // PAYLOAD_BYTES_MAX,),
            ).fetchall()
            dropped += len(gone)
            freed += sum(size for (size,) in gone)
        return dropped, freed


def _size(letter: DeadLetter) -> int:
    """What it counts for in the quota."""
    return len(letter.message.topic) + len(letter.message.payload)


def _row(sink: str, letter: DeadLetter) -> tuple[object, ...]:
    (topic, payload, received_ms), reason, detail, missing = letter
    size = len(payload) + missing
    return (sink, reason, detail, topic, payload, size, received_ms)


class Letter(NamedTuple):
    """A dead letter; `received_ms` is milliseconds since 1970."""

    id: int
    sink: str  # empty: it is not of the contract, and no sink saw it
    reason: str
    detail: str
    topic: str
    payload: bytes
    payload_bytes: int
    received_ms: int

    @property
    def is_whole(self) -> bool:
        """Whether all of its payload was kept: the contract allows 4096 bytes."""
        return len(self.payload) == self.payload_bytes


class Selection(NamedTuple):
    """Which letters: those with one of `ids` or with `reason`; or all."""

    ids: tuple[int, ...] = ()
    reason: str | None = None
    is_all: bool = False

    def where(self) -> tuple[str, tuple[object, ...]]:
        """A condition of SQL, and its values."""
        if self.is_all:
            return "1", ()
        marks = ", ".join("?" * len(self.ids))
        return f"(id IN ({marks}) OR reason = ?)", (*self.ids, self.reason)


class Backlog(NamedTuple):
    """What waits for one sink."""

    sink: str
    batches: int
    messages: int
    bytes: int


def reasons(path: Path) -> list[tuple[str, str, int]]:
    """(sink, reason, letters), most frequent first.

    Raises:
        Unavailable: the file cannot be read.
    """
    with opened(path) as db:
        return db.execute(
            "SELECT sink, reason, count(*) FROM dead_letters"
            " GROUP BY sink, reason ORDER BY count(*) DESC"
        ).fetchall()


def letters(path: Path, selection: Selection, limit: int) -> list[Letter]:
    """The newest letters of a selection, newest first.

    Raises:
        Unavailable: the file cannot be read.
    """
    where, values = selection.where()
    query = f"SELECT {_COLUMNS} FROM dead_letters WHERE {where} ORDER BY id DESC"
    with opened(path) as db:
        return [Letter(*row) for row in db.execute(f"{query} LIMIT {limit:d}", values)]


def purge(path: Path, selection: Selection) -> int:
    """Forget letters; gives how many.

    Raises:
        Unavailable: the file cannot be written.
    """
    where, values = selection.where()
    with opened(path) as db, db:
        return db.execute(f"DELETE FROM dead_letters WHERE {where}", values).rowcount


class Replayed(NamedTuple):
    """What became of the letters of a selection.

    Attributes:
        done: they are handed to the bridge.
        too_long: their payloads were not kept whole.
        of_others: of sinks that are not among those given, by sink.
    """

    done: int
    too_long: int
    of_others: Counter[str]


def replay(path: Path, selection: Selection, sinks: Sequence[str]) -> Replayed:
    """Have the bridge write letters once more.

    A letter that was rejected by a sink goes to that sink, another to all of `sinks`.
    It leaves the dead letters in the transaction in which it becomes a replay, a
    thousand at a time, and comes back if it fails.

    Raises:
        Unavailable: the file cannot be written.
    """
    done = too_long = last_id = 0
    of_others: Counter[str] = Counter()
    with opened(path) as db:
        newest = db.execute("SELECT max(id) FROM dead_letters").fetchone()[0] or 0
        while found := _part(db, selection, last_id, newest):
            last_id = found[-1].id
            whole = [letter for letter in found if letter.is_whole]
            too_long += len(found) - len(whole)
            wanted = [one for one in whole if not one.sink or one.sink in sinks]
            of_others.update(one.sink for one in whole if one not in wanted)
            _hand_over(db, wanted, sinks)
            done += len(wanted)
    return Replayed(done, too_long, of_others)


def _part(
    db: sqlite3.Connection, selection: Selection, after: int, newest: int
) -> list[Letter]:
    """The next letters of a selection; none that has come since, or failed again."""
    where, values = selection.where()
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM dead_letters WHERE {where}"
        " AND id > ? AND id <= ? ORDER BY id LIMIT ?",
        (*values, after, newest, _REPLAYED_AT_ONCE),
    )
    return [Letter(*row) for row in rows]


def _hand_over(
    db: sqlite3.Connection, letters: Sequence[Letter], sinks: Sequence[str]
) -> None:
    by_sink: dict[str, list[Message]] = defaultdict(list)
    for letter in letters:
        message = Message(letter.topic, letter.payload, letter.received_ms)
        for sink in [letter.sink] if letter.sink else sinks:
            by_sink[sink].append(message)
    with db:
        for sink, messages in by_sink.items():
            replays.add(db, sink, messages)
        ids = [(letter.id,) for letter in letters]
        db.executemany("DELETE FROM dead_letters WHERE id = ?", ids)


def backlogs(path: Path) -> list[Backlog]:
    """What waits for each sink.

    Raises:
        Unavailable: the file cannot be read.
    """
    with opened(path) as db:
        rows = db.execute(
            "SELECT sink, count(*), sum(messages), sum(bytes) FROM batches"
            " GROUP BY sink ORDER BY sink"
        )
        return [Backlog(*row) for row in rows]
