"""What waits on this disk, in one SQLite file: each kind is a module here."""

from contextlib import suppress
from pathlib import Path

from egiz_bridge.errors import SpoolDamaged
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
        self.batches = Batches(self.quota, max_age_days)
        self.dead_letters = DeadLetters(self.quota)
        self.replays = Replays(self.quota)
        self.notes = Notes(self._file)
        with suppress(SpoolDamaged):  # of which a new one has come
            self.batches.counts()

    @property
    def set_aside(self) -> int:
        """How many damaged files were set aside since the start."""
        return self._file.set_aside

    def close(self) -> None:
        """Close the file."""
        self._file.close()
