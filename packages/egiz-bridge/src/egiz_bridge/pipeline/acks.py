"""Which PUBACKs may go out: those of stored batches, in the order of receipt."""

from collections import deque

from egiz_bridge.batch import Batch


class AckOrder:
    """The batches of one connection that are not acknowledged yet.

    MQTT wants PUBACKs in the order in which the PUBLISH packets came (4.6.0-2), and
    sinks finish in any order: a batch is acknowledged when it and all before it are.
    """

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self._open: deque[Batch] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, batch: Batch) -> None:
        """Add a batch that was received, unless over an earlier connection.

        Without a packet id (QoS 0) there is nothing to acknowledge, or to wait for.
        """
        if batch.packet_ids and batch.connection == self.connection:
            self._open.append(batch)

    def pop_stored(self) -> list[Batch]:
        """The batches at the front that are stored."""
        stored: list[Batch] = []
        while self._open and self._open[0].is_stored:
            stored.append(self._open.popleft())
        return stored
