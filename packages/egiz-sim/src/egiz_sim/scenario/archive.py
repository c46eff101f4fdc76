"""What a scenario finds in the SQLite archive, and how it makes it slow."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

_PERIOD_S = 0.25
_LOCK_TIMEOUT_S = 10.0
_COUNTS = (
    "SELECT device_id, count(*), count(DISTINCT boot || '/' || seq) FROM telemetry"
    " GROUP BY device_id"
)
_BUFFERED = "SELECT count(*) FROM telemetry WHERE buffered"
_AHEAD = "SELECT count(*) FROM telemetry WHERE time_ms > received_ms + ?"
_CODES = "status_fault_codes_"  # and their number: each is a column


class Rows(NamedTuple):
    """Telemetry of a device: rows, and how many different (boot, seq) they have."""

    rows: int
    messages: int


class Archive:
    """Reads while the bridge writes.

    Args:
        path: of the archive, which the bridge makes with the first message.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def telemetry(self) -> dict[str, Rows]:
        """By device id."""
        with self._opened("device_id", "boot", "seq") as db:
            found = db.execute(_COUNTS).fetchall() if db else []
        return {name: Rows(rows, messages) for name, rows, messages in found}

    def buffered(self) -> int:
        """Rows that are marked as history."""
        with self._opened("buffered") as db:
            return int(db.execute(_BUFFERED).fetchone()[0]) if db else 0

    def ahead(self, seconds: float) -> int:
        """Rows with a time of so long after their receipt."""
        with self._opened("received_ms") as db:
            found = db.execute(_AHEAD, (1000 * seconds,)).fetchone() if db else (0,)
        return int(found[0])

    def fault_codes(self) -> dict[str, set[str]]:
        """All codes of each device."""
        found: dict[str, set[str]] = {}
        with self._opened(f"{_CODES}0") as db:
            for column in _columns(db, _CODES) if db else ():
                query = f"SELECT DISTINCT device_id, {column} FROM telemetry"  # noqa: S608  # a column that there is
                for name, code in db.execute(query) if db else ():
                    found.setdefault(name, set()).add(code)
        return found

    async def hold_up(self, seconds: float, share: float) -> None:
        """Lock it again and again, for so long: it accepts writes in between."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while clock() < end:
            held_s = min(share * _PERIOD_S, end - clock())
            async with self._locked():
                await asyncio.sleep(held_s)
            await asyncio.sleep((1 - share) * _PERIOD_S)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        if not self._path.exists():
            yield
            return
        db = await asyncio.to_thread(self._lock)
        try:
            yield
        finally:
            db.rollback()
            db.close()

    def _lock(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._path,
            timeout=_LOCK_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        db.execute("BEGIN IMMEDIATE")
        return db

    @contextlib.contextmanager
    def _opened(self, *columns: str) -> Iterator[sqlite3.Connection | None]:
        """The archive, if it has these columns of telemetry already."""
        if not self._path.exists():
            yield None
            return
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            yield db if set(columns) <= set(_columns(db)) else None


def _columns(db: sqlite3.Connection, prefix: str = "") -> list[str]:
    info = db.execute("PRAGMA table_info(telemetry)")
    return [row[1] for row in info if row[1].startswith(prefix)]
