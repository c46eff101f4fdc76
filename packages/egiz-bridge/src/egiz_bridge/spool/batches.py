"""Batches that wait on this disk for a sink.

What `put` returns from is fsynced, and may be acknowledged. At `spool.max_bytes` it
refuses: the bridge stops acknowledging, and the broker queues. Batches that have waited
for `spool.max_age_days` are dropped and counted: a database that forgets as soon would
not keep them.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from egiz_bridge.batch import Message
from egiz_bridge.errors import SpoolFull
from egiz_bridge.spool import codec
from egiz_bridge.spool.age import AgeClock
from egiz_bridge.spool.quota import Quota

_DAY_MS = 86_400_000
_KEPT_EVERY_MS = 60_000
_COLUMNS = "sink, received_ms, messages, bytes, body"

_log = structlog.get_logger()


class Spooled(NamedTuple):
    """A batch that waits for a sink.

    Attributes:
        since_ms: by the spool's clock; with `id`, it names one batch of any file.
    """

    id: int
    since_ms: int
    bytes: int
    messages: list[Message]


class Batches:
    """The batches in the spool's file.

    Raises:
        Unavailable: from each method, if the disk does not give or accept it.
    """

    def __init__(self, quota: Quota, clock: AgeClock, max_age_days: int) -> None:
        self._quota = quota
        self._clock = clock
        self._kept_at_ms = 0
        self._max_age_ms = max_age_days * _DAY_MS

    def put(self, sink: str, messages: Sequence[Message]) -> None:
        """Keep messages that `sink` did not accept.

        Raises:
            SpoolFull: at max_bytes.
        """
        body = codec.encode(messages)
        with self._quota.transaction() as db:
            if self._quota.bytes_used + len(body) > self._quota.max_bytes:
                raise SpoolFull(f"{self._quota.path}: spool.max_bytes is reached")
            db.execute(
                "INSERT INTO batches (sink, received_ms, messages, bytes, body)"
                " VALUES (?, ?, ?, ?, ?)",
                (sink, self._clock.now_ms(), len(messages), len(body), body),
            )
            self._quota.batch_bytes += len(body)

    def oldest(self, sink: str) -> Spooled | None:
        """The batch that has waited longest for `sink`.

        One that cannot be read any more is set aside, for a person to look at.
        """
        while (row := self._oldest_row(sink)) is not None:
            batch_id, since_ms, body = row
            try:
                return Spooled(batch_id, since_ms, len(body), codec.decode(body))
            except codec.Undecodable as error:
                self._set_aside(batch_id, error)
        return None

    def expire(self, sink: str) -> int:
        """Drop what has waited for too long; returns how many messages."""
        if not self._max_age_ms:
            return 0
        now_ms = self._clock.now_ms()
        with self._quota.transaction() as db:
            if self._quota.batch_bytes and now_ms - self._kept_at_ms > _KEPT_EVERY_MS:
                self._clock.keep(db)
                self._kept_at_ms = now_ms
            gone = db.execute(
                "DELETE FROM batches WHERE sink = ? AND received_ms < ?"
                " RETURNING messages, bytes",
                (sink, now_ms - self._max_age_ms),
            ).fetchall()
            self._quota.batch_bytes -= sum(size for _, size in gone)
        return sum(messages for messages, _ in gone)

    def drop(self, spooled: Spooled) -> None:
        """Delete a batch that is written."""
        with self._quota.transaction() as db:
            self._delete(db, spooled)

    def _delete(self, db: sqlite3.Connection, spooled: Spooled) -> bool:
        """Delete it, if this is the file that it was read from, or a copy of it."""
        is_there = db.execute(
            "DELETE FROM batches WHERE id = ? AND received_ms = ?",
            (spooled.id, spooled.since_ms),
        ).rowcount
        self._quota.batch_bytes -= spooled.bytes * is_there
        return bool(is_there)

    def replace(
        self, spooled: Spooled, sink: str, groups: Sequence[Sequence[Message]]
    ) -> None:
        """Keep what is left of a batch, as batches of their own behind the others.

        It may be a few bytes more, and is no reason to refuse: it was here before. It
        is as old as it was.
        """
        bodies = [codec.encode(group) for group in groups]
        with self._quota.transaction() as db:
            if not self._delete(db, spooled):
                return  # what is left was set aside with its file
            for group, body in zip(groups, bodies, strict=True):
                db.execute(
                    "INSERT INTO batches (sink, received_ms, messages, bytes, body)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (sink, spooled.since_ms, len(group), len(body), body),
                )
            self._quota.batch_bytes += sum(map(len, bodies))

    def counts(self) -> dict[str, int]:
        """How many messages wait for each sink."""
        with self._quota.transaction() as db:
            rows = db.execute("SELECT sink, sum(messages) FROM batches GROUP BY sink")
            return dict(rows.fetchall())

    def _oldest_row(self, sink: str) -> tuple[int, int, bytes] | None:
        with self._quota.transaction() as db:
            row: tuple[int, int, bytes] | None = db.execute(
                "SELECT id, received_ms, body FROM batches WHERE sink = ?"
                " ORDER BY id LIMIT 1",
                (sink,),
            ).fetchone()
        return row

    def _set_aside(self, batch_id: int, error: Exception) -> None:
        _log.error(
            "spooled batch damaged: moved to the spool's table `damaged`, not written",
            path=str(self._quota.path),
            batch=batch_id,
            why=str(error),
        )
        with self._quota.transaction() as db:
            db.execute(
                f"INSERT INTO damaged ({_COLUMNS})"  # noqa: S608  # names, not values
                f" SELECT {_COLUMNS} FROM batches WHERE id = ?",
                (batch_id,),
            )
            gone = db.execute(
                "DELETE FROM batches WHERE id = ? RETURNING bytes", (batch_id,)
            ).fetchall()
            self._quota.batch_bytes -= sum(size for (size,) in gone)
