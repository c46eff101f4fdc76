"""What is kept on this disk: batches that wait for a sink, and dead letters.

One SQLite file, synchronous=FULL: what `put` and `bury` return from is fsynced, and may
be acknowledged. Batches and dead letters share `spool.max_bytes`.

Stated policy when it is full: `put` refuses, the bridge holds what it has and stops
acknowledging, and the broker queues. Dead letters may take a tenth; beyond, the oldest
of them are dropped and counted.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from egiz_bridge.batch import DeadLetter, Message
from egiz_bridge.errors import SpoolFull, Unavailable

_DEAD_SHARE = 10  # dead letters may take this part of max_bytes
_PAYLOAD_KEPT = 4096  # bytes of a dead letter's payload: as much as the contract allows

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_of_sink ON batches (sink, id, messages, bytes);
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL, received_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS replays (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
_DEAD_BYTES = "SELECT total(length(topic) + length(payload)) FROM dead_letters"
_BODY = msgspec.msgpack.Decoder(list[Message])


class Spooled(NamedTuple):
    """A batch that waits for a sink."""

    id: int
    bytes: int
    messages: list[Message]


class Spool:
    """The spool file; safe to use from several threads."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        with _as_unavailable(path):
            self._db = sqlite3.connect(
                path, timeout=5, check_same_thread=False, isolation_level=None
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        with self._transaction() as db:
            self._batch_bytes = _number(db, "SELECT total(bytes) FROM batches")
            self._dead_bytes = _number(db, _DEAD_BYTES)
        self.dead_dropped = 0

    @property
    def bytes(self) -> int:
        """What batches and dead letters take of `max_bytes`."""
        return self._batch_bytes + self._dead_bytes

    def put(self, sink: str, messages: Sequence[Message]) -> None:
        """Keep messages that `sink` did not take.

        Raises:
            SpoolFull: at max_bytes.
            Unavailable: the disk does not take it.
        """
        body = zlib.compress(msgspec.msgpack.encode(messages), 1)
        with self._transaction() as db:
            if self.bytes + len(body) > self.max_bytes:
                raise SpoolFull(f"{self._path}: spool.max_bytes is reached")
            db.execute(
                "INSERT INTO batches (sink, messages, bytes, body) VALUES (?, ?, ?, ?)",
                (sink, len(messages), len(body), body),
            )
        self._batch_bytes += len(body)

    def oldest(self, sink: str) -> Spooled | None:
        """The batch that has waited longest for `sink`.

        Raises:
            Unavailable: the disk does not give it.
        """
        with self._transaction() as db:
            row = db.execute(
                "SELECT id, body FROM batches WHERE sink = ? ORDER BY id LIMIT 1",
                (sink,),
            ).fetchone()
        if row is None:
            return None
        batch_id, body = row
        return Spooled(batch_id, len(body), _BODY.decode(zlib.decompress(body)))

    def drop(self, spooled: Spooled) -> None:
        """Forget a batch that is written.

        Raises:
            Unavailable: the disk does not take it.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM batches WHERE id = ?", (spooled.id,))
        self._batch_bytes -= spooled.bytes

    def adopt(self, sink: str) -> int:
        """Take over what an operator wants written once more; gives how many messages.

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
                    "INSERT INTO batches (sink, messages, bytes, body) SELECT"
                    " sink, messages, bytes, body FROM replays WHERE sink = ?",
                    (sink,),
                )
                db.execute("DELETE FROM replays WHERE sink = ?", (sink,))
            self._dead_bytes = _number(db, _DEAD_BYTES)
        self._batch_bytes += int(size)
        return int(messages)

    def counts(self) -> dict[str, int]:
        """How many messages wait for each sink."""
        with self._transaction() as db:
            rows = db.execute("SELECT sink, sum(messages) FROM batches GROUP BY sink")
            return dict(rows.fetchall())

    def bury(self, letters: Sequence[DeadLetter], sink: str = "") -> None:
        """Keep messages that will never be written.

        Args:
            letters: what, and why.
            sink: which database rejected them; empty if none saw them.

        Raises:
            Unavailable: the disk does not take them.
        """
        rows = [_dead_row(sink, letter) for letter in letters]
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO dead_letters"
                " (sink, reason, detail, topic, payload, payload_bytes, received_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            dropped = self._drop_oldest_dead(db)
            self._dead_bytes = _number(db, _DEAD_BYTES)
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
            Unavailable: the disk does not take it.
        """
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _drop_oldest_dead(self, db: sqlite3.Connection) -> int:
        dropped = 0
        allowed = self.max_bytes // _DEAD_SHARE
        while (excess := _number(db, _DEAD_BYTES) - allowed) > 0:
            dropped += db.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters ORDER BY id LIMIT ?)",
                (1 + excess // _PAYLOAD_KEPT,),
            ).rowcount
        return dropped

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _as_unavailable(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


@contextmanager
def _as_unavailable(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise Unavailable(f"{path}: {fault}") from fault


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _dead_row(sink: str, letter: DeadLetter) -> tuple[object, ...]:
    (topic, payload, received_ms), reason, detail = letter
    kept = payload[:_PAYLOAD_KEPT]
    return (sink, reason, detail, topic, kept, len(payload), received_ms)
