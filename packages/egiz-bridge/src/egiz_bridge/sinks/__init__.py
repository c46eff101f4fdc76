"""Where messages are stored: each sink is one module here."""

from collections.abc import Sequence
from typing import Protocol

from egiz_bridge.batch import Row


class Sink(Protocol):
    """A database. All methods of one object are called from one thread."""

    name: str

    def write(self, rows: Sequence[Row]) -> None:
        """Store rows durably; writing them twice stores them once.

        Raises:
            Rejected: some of them can never be stored; others may have been.
            Unavailable: they may be stored later.
        """

    def probe(self) -> None:
        """Ask whether it would accept writes, without writing anything.

        Raises:
            Unavailable: it would not.
        """

    def close(self) -> None:
        """Close connections and files."""
