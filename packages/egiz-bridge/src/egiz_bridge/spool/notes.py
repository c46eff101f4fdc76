"""Short texts for later runs, by name."""

import re

from egiz_bridge.spool.file import SpoolFile

# The name of the note on the filters of a session: its client id, and the broker.
SESSION = re.compile(r"filters of the session of (.+) at (.+)")


def session_note(client_id: str, url: str) -> str:
    """The name of a note that `SESSION` matches."""
    return f"filters of the session of {client_id} at {url}"


class Notes:
    """The notes in the spool's file.

    Raises:
        Unavailable: from each method, if the disk does not give or accept it.
    """

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def read(self, name: str) -> str | None:
        """What this run or an earlier one wrote under a name."""
        with self._file.transaction() as db:
            row = db.execute("SELECT text FROM notes WHERE name = ?", (name,))
            found: tuple[str] | None = row.fetchone()
        return found and found[0]

    def write(self, name: str, text: str) -> None:
        """Keep a text under a name, in place of what was there."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))
