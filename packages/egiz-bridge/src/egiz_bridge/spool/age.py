"""By which clock batches grow old: one that passes only while a bridge has the file.

What the clock of the machine says is read once, for a file that is empty. So it may be
wrong, or jump: nothing is dropped for that. Nor is anything for a pause of the bridge.
"""

import sqlite3
import time

_NOTE = "age clock"


class AgeClock:
    """Milliseconds; of one open spool."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._start_ms = _last_ms(db)
        self._begun_s = time.monotonic()

    def now_ms(self) -> int:
        """The time; it is later than any that the file has."""
        return self._start_ms + int((time.monotonic() - self._begun_s) * 1000)

    def keep(self, db: sqlite3.Connection) -> None:
        """Have a later run go on from here; within a transaction."""
        text = str(self.now_ms())
        db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_NOTE, text))


def _last_ms(db: sqlite3.Connection) -> int:
    note = db.execute("SELECT text FROM notes WHERE name = ?", (_NOTE,)).fetchone()
    query = "SELECT max(received_ms) FROM batches"
    newest: int | None = db.execute(query).fetchone()[0]
    if newest is None:
        return time.time_ns() // 1_000_000
    return max(newest, int(note[0]) if note else 0)
