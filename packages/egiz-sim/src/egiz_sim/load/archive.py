"""Looks for a load's messages in the SQLite archive: see `egiz_sim.load.observer`."""

import contextlib
import select
import sqlite3
import sys
from pathlib import Path
from typing import Any

from egiz_sim.load.observer import Records, fail, read_order

_POLL_S = 0.05
_TABLE = "SELECT 1 FROM pragma_table_info('telemetry') WHERE name = 'seq'"
# A row that was changed keeps its number; a message stored twice is another row.
_NEW = (
    "SELECT rowid, device_id, seq FROM telemetry"
    " WHERE rowid > ? AND facility = ? AND boot = ?"
)


class ArchiveObserver:
    """Asks for new rows, 20 times a second; before and at the end, it has to get them.

    Args:
        order: `path`, `facility`, `boot` and `devices`, the ids of all devices.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._path = Path(order["path"]).absolute()
        self._wanted = (order["facility"], order["boot"])
        self._devices = {name: number for number, name in enumerate(order["devices"])}
        self._records = Records()
        self._last_row = 0

    def run(self) -> None:
        """Look until stdin is closed, and once more."""
        self._look_or_fail()
        self._records.ready()
        was_there = True
        while not select.select([sys.stdin.buffer], [], [], _POLL_S)[0]:
            is_there = not self.look()
            if was_there and not is_there:
                self._records.disconnected()
            was_there = is_there
        self._look_or_fail()

    def _look_or_fail(self) -> None:
        if reason := self.look():
            fail(f"the archive {self._path} cannot be read: {reason}")

    def look(self) -> str:
        """Note the new rows; gives why it cannot: it may be locked for a while."""
        try:
            self._note_new()
        except (OSError, sqlite3.Error) as error:
            return str(error)
        return ""

    def _note_new(self) -> None:
        if not self._path.exists():  # the bridge makes it with the first message
            return
        uri = f"{self._path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            if not db.execute(_TABLE).fetchone():
                return
            rows = db.execute(_NEW, (self._last_row, *self._wanted)).fetchall()
        self._last_row = max([self._last_row, *(row for row, _, _ in rows)])
        self._records.seen(
            [
                seq * len(self._devices) + self._devices[name]
                for _, name, seq in rows
                if name in self._devices and isinstance(seq, int)
            ]
        )


if __name__ == "__main__":
    ArchiveObserver(read_order()).run()
