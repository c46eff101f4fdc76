"""What is kept on this disk: batches that wait for a sink, and dead letters.

What `put` and `add_dead_letters` return from is fsynced, and may be acknowledged.
Batches and dead letters share `spool.max_bytes`.

Stated policy when it is full: `put` refuses, the bridge keeps what it has and stops
acknowledging, and the broker queues. Batches older than `spool.max_age_days` are
dropped and counted: a database that forgets as soon would not keep them. Dead letters
may take a tenth; beyond, the oldest of them are dropped and counted.
"""

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import SpoolDamaged, SpoolFull, Unavailable
from egiz_bridge.spool.file import SpoolFile

_DEAD_SHARE = 10  # dead letters may take this part of max_bytes
_PAYLOAD_KEPT = 4096  # bytes of a dead letter's payload: as much as the contract allows
_DAY_MS = 86_400_000

_DEAD_BYTES = "SELECT total(length(topic) + length(payload)) FROM dead_letters"
_BODY = msgspec.msgpack.Decoder(list[Message])

_log = structlog.get_logger()


class Spooled(NamedTuple):
    """A batch that waits for a sink."""

    id: int
    bytes: int
    messages: list[Message]


class Spool:
    """The spool; safe to use from several threads.

    Attributes:
        dead_dropped: how many dead letters made room for newer ones.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_days: int = 0) -> None:
        self._path = path
        self.max_bytes = max_bytes
        self._max_age_ms = max_age_days * _DAY_MS
        self._lock = threading.Lock()
        self._file = SpoolFile(path)
        self._counted_at: object = None
        self._batch_bytes = self._dead_bytes = 0
        self.dead_dropped = 0
        with suppress(SpoolDamaged):  # of which a new one has come
            self.counts()

    @property
    def set_aside(self) -> int:
        """How many damaged files were set aside since the start."""
        return self._file.set_aside

    @property
    def bytes_used(self) -> int:
        """What batches and dead letters take of `max_bytes`."""
        return self._batch_bytes + self._dead_bytes

    def put(self, sink: str, messages: Sequence[Message]) -> None:
        """Keep messages that `sink` did not accept.

        Raises:
            SpoolFull: at max_bytes.
            Unavailable: the disk does not accept it.
        """
        body = zlib.compress(msgspec.msgpack.encode(messages), 1)
        with self._transaction() as db:
            if self.bytes_used + len(body) > self.max_bytes:
                raise SpoolFull(f"{self._path}: spool.max_bytes is reached")
            db.execute(
                "INSERT INTO batches (sink, received_ms, messages, bytes, body)"
                " VALUES (?, ?, ?, ?, ?)",
                (sink, messages[-1].received_ms, len(messages), len(body), body),
            )
            self._batch_bytes += len(body)

    def oldest(self, sink: str) -> Spooled | None:
        """The batch that has waited longest for `sink`.

        One that cannot be read any more is kept apart, for a person to look at.

        Raises:
            Unavailable: the disk does not give it.
        """
        while (row := self._oldest_row(sink)) is not None:
            batch_id, body = row
            try:
                messages = _BODY.decode(zlib.decompress(body))
            except (zlib.error, msgspec.DecodeError) as error:
                self._set_batch_aside(batch_id, error)
            else:
                return Spooled(batch_id, len(body), messages)
        return None

    def expire(self, sink: str) -> int:
        """Drop what has waited for too long; gives how many messages.

        Raises:
            Unavailable: the disk does not accept it.
        """
        if not self._max_age_ms:
            return 0
        before_ms = time.time_ns() // 1_000_000 - self._max_age_ms
        with self._transaction() as db:
            gone = db.execute(
                "DELETE FROM batches WHERE sink = ? AND received_ms < ?"
                " RETURNING messages, bytes",
                (sink, before_ms),
            ).fetchall()
            self._batch_bytes -= sum(size for _, size in gone)
        return sum(messages for messages, _ in gone)

    def drop(self, spooled: Spooled) -> None:
        """Forget a batch that is written.

        Raises:
            Unavailable: the disk does not accept it.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM batches WHERE id = ?", (spooled.id,))
            self._batch_bytes -= spooled.bytes

    def requeue(self, sink: str) -> int:
        """Move replays to the batches; returns how many messages.

        Raises:
            Unavailable: the disk does not give it.
        """
        with self._transaction() as db:
            messages, size = db.execute(
                "SELECT total(messages), total(bytes) FROM replays WHERE sink = ?",
                (sink,),
            ).fetchone()
            if messages:
                db.execute(
                    "INSERT INTO batches (sink, received_ms, messages, bytes, body)"
                    " SELECT sink, received_ms, messages, bytes, body FROM replays"
                    " WHERE sink = ?",
                    (sink,),
                )
                db.execute("DELETE FROM replays WHERE sink = ?", (sink,))
            self._batch_bytes += int(size)
        return int(messages)

    def counts(self) -> dict[str, int]:
        """How many messages wait for each sink."""
        with self._transaction() as db:
            rows = db.execute("SELECT sink, sum(messages) FROM batches GROUP BY sink")
            return dict(rows.fetchall())

    def add_dead_letters(self, letters: Sequence[DeadLetter], sink: str = "") -> None:
        """Keep messages that will never be written.

        Args:
            letters: what, and why.
            sink: which database rejected them; empty if none saw them.

        Raises:
            Unavailable: the disk does not accept them.
        """
        rows = [_dead_letter_row(sink, letter) for letter in letters]
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO dead_letters"
                " (sink, reason, detail, topic, payload, payload_bytes, received_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            added = sum(_size(letter) for letter in letters)
            dropped, freed = self._drop_oldest_dead(db, self._dead_bytes + added)
            self._dead_bytes += added - freed
            self.dead_dropped += dropped

    def note(self, name: str) -> str | None:
        """What was noted under a name, by this run or an earlier one.

        Raises:
            Unavailable: the disk does not give it.
        """
        with self._transaction() as db:
            row = db.execute("SELECT text FROM notes WHERE name = ?", (name,))
            found: tuple[str] | None = row.fetchone()
        return found and found[0]

    def set_note(self, name: str, text: str) -> None:
        """Note something for later runs.

        Raises:
            Unavailable: the disk does not accept it.
        """
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _oldest_row(self, sink: str) -> tuple[int, bytes] | None:
        with self._transaction() as db:
            row: tuple[int, bytes] | None = db.execute(
                "SELECT id, body FROM batches WHERE sink = ? ORDER BY id LIMIT 1",
                (sink,),
            ).fetchone()
        return row

    def _set_batch_aside(self, batch_id: int, error: Exception) -> None:
        _log.error(
            "a batch in the spool cannot be read: kept apart, in its table `damaged`",
            path=str(self._path),
            batch=batch_id,
            why=str(error),
        )
        with self._transaction() as db:
            db.execute(
                "INSERT INTO damaged SELECT * FROM batches WHERE id = ?", (batch_id,)
            )
            db.execute("DELETE FROM batches WHERE id = ?", (batch_id,))

    def _drop_oldest_dead(self, db: sqlite3.Connection, used: int) -> tuple[int, int]:
        """(letters, bytes) that went."""
        dropped = freed = 0
        allowed = self.max_bytes // _DEAD_SHARE
        while (excess := used - freed - allowed) > 0:
            gone = db.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters ORDER BY id LIMIT ?)"
                " RETURNING length(topic) + length(payload)",
                (1 + excess // _PAYLOAD_KEPT,),
            ).fetchall()
            dropped += len(gone)
            freed += sum(size for (size,) in gone)
        return dropped, freed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._file.transaction() as db:
                    self._count(db)
                    yield db
            except Unavailable:
                self._counted_at = None
                raise

    def _count(self, db: sqlite3.Connection) -> None:
        """What is there, if the file is new or somebody else has changed it."""
        version = self._file.version()
        if version != self._counted_at:
            self._batch_bytes = _number(db, "SELECT total(bytes) FROM batches")
            self._dead_bytes = _number(db, _DEAD_BYTES)
            self._counted_at = version


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _size(letter: DeadLetter) -> int:
    """What it counts for."""
    return len(letter.message.topic) + min(len(letter.message.payload), _PAYLOAD_KEPT)


def _dead_letter_row(sink: str, letter: DeadLetter) -> tuple[object, ...]:
    (topic, payload, received_ms), reason, detail = letter
    kept = payload[:_PAYLOAD_KEPT]
    return (sink, reason, detail, topic, kept, len(payload), received_ms)
