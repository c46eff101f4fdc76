"""What happened to a file under the running bridge: counted, and shown for a while."""

import time

# As long as the alerts look back: whoever asks for the health sees it, too.
_SHOWN_S = 900.0


class Incidents:
    """Of one file; safe to read from any thread.

    Attributes:
        lost: times that it was removed, moved or replaced.
        set_aside: times that it was damaged, and renamed.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.set_aside = 0
        self._text = ""
        self._until_s = 0.0

    def add(self, text: str, *, is_damaged: bool) -> None:
        """Count one."""
        self.set_aside += is_damaged
        self.lost += not is_damaged
        self._text = text
        self._until_s = time.monotonic() + _SHOWN_S

    def recent(self) -> str:
        """The last one, for a quarter of an hour."""
        return self._text if time.monotonic() < self._until_s else ""
