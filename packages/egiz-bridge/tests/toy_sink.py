"""A sink as one module, as those in `egiz_bridge.sinks` are: it writes to a list."""

from typing import ClassVar

from egiz_bridge.errors import Unavailable
from egiz_bridge.sinks.sink import SinkTable

STORED = []


class ToyTable(SinkTable):
    """What it needs to know."""

    key: ClassVar[str] = "toy"
    where: ClassVar[str] = "shelf"

    shelf: int = 1

    def open(self):
        """The sink."""
        return ToySink(self.shelf)


class ToySink:
    """Refuses shelf 13."""

    name = "toy"

    def __init__(self, shelf):
        self._shelf = shelf

    def write(self, rows):
        """Keep them."""
        self.probe()
        STORED.extend((self._shelf, row.message.point()) for row in rows)

    def probe(self):
        """Whether there is such a shelf."""
        if self._shelf == 13:
            raise Unavailable("there is no shelf 13")

    def close(self):
        """Nothing is open."""
