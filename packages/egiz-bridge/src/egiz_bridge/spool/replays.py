"""What an operator wants written again: commands fill a table, the bridge reads it.

Nothing else is shared between the two but the file.
"""

import sqlite3
from collections.abc import Sequence

from egiz_bridge.batch import Message
from egiz_bridge.spool import codec
from egiz_bridge.spool.age import AgeClock
from egiz_bridge.spool.quota import Quota

# In one transaction, for which others wait.
_AT_ONCE = 200


class Replays:
    """The replays that wait for the bridge."""

    def __init__(self, quota: Quota, clock: AgeClock) -> None:
        self._quota = quota
        self._clock = clock

    def requeue(self, sink: str) -> int:
        """Move some replays of a sink to its batches; returns how many messages.

        Raises:
            Unavailable: the disk does not give it.
        """
        with self._quota.transaction() as db:
            found = db.execute(
                "SELECT id, messages, bytes FROM replays WHERE sink = ?"
                " ORDER BY id LIMIT ?",
                (sink, _AT_ONCE),
            ).fetchall()
            for replay_id, _, size in found:
                _move(db, replay_id, self._clock.now_ms())
                self._quota.batch_bytes += size
        return sum(messages for _, messages, _ in found)


def add(db: sqlite3.Connection, sink: str, messages: Sequence[Message]) -> None:
    """Put messages into the table, within a transaction of a command."""
    body = codec.encode(messages)
    db.execute(
        "INSERT INTO replays (sink, received_ms, messages, bytes, body)"
        " VALUES (?, ?, ?, ?, ?)",
        (sink, messages[-1].received_ms, len(messages), len(body), body),
    )


def _move(db: sqlite3.Connection, replay_id: int, now_ms: int) -> None:
    """What is replayed begins to grow old now."""
    db.execute(
        "INSERT INTO batches (sink, received_ms, messages, bytes, body)"
        " SELECT sink, ?, messages, bytes, body FROM replays WHERE id = ?",
        (now_ms, replay_id),
    )
    db.execute("DELETE FROM replays WHERE id = ?", (replay_id,))
