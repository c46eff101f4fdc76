"""What waits on this disk, in one SQLite file: each kind is a module here."""

from contextlib import suppress
from pathlib import Path

from egiz_bridge.errors import FileDamaged
from egiz_bridge.incidents import Incidents
from egiz_bridge.spool.age import AgeClock
from egiz_bridge.spool.batches import Batches
from egiz_bridge.spool.dead_letters import DeadLetters
from egiz_bridge.spool.file import SpoolFile
from egiz_bridge.spool.notes import Notes
from egiz_bridge.spool.quota import Quota
from egiz_bridge.spool.replays import Replays


class Spool:
    """The spool's file and all that it keeps; safe to use from several threads."""

    def __init__(self, path: Path, max_bytes: int, max_age_days: int = 0) -> None:
        self._file = SpoolFile(path)
        self.quota = Quota(self._file, max_bytes)
        try:
            clock = self._age_clock()
        except FileDamaged:  # it is set aside
            clock = self._age_clock()
        self.batches = Batches(self.quota, clock, max_age_days)
        self.dead_letters = DeadLetters(self.quota)
        self.replays = Replays(self.quota, clock)
        self.notes = Notes(self._file)
        with suppress(FileDamaged):  # of which a new one has come
            self.batches.counts()

    def _age_clock(self) -> AgeClock:
        with self._file.transaction() as db:
            return AgeClock(db)

    @property
    def incidents(self) -> Incidents:
        """What happened to the file while it was open."""
        return self._file.incidents

    def probe(self) -> None:
        """Ask whether the file could be written now.

        Raises:
            Unavailable: it could not.
        """
        self._file.probe()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
