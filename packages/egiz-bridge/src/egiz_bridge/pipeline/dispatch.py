"""Between the main loop and the writers: batches out, completed batches back."""

import queue
from collections.abc import Callable, Sequence

from egiz_bridge.batch import Batch
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.mqtt.connection import RECEIVE_MAXIMUM
from egiz_bridge.pipeline.acks import AckOrder
from egiz_bridge.pipeline.rejects import Rejects
from egiz_bridge.pipeline.route import Route, route_of
from egiz_bridge.pipeline.writers import Writers
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import Spool

# How much may wait for the sinks before the socket is not read any more. That is twice
# the window: Mosquitto 2.0.11 does not keep to it, and the process must not grow.
HELD_MAX = 2 * RECEIVE_MAXIMUM


class Dispatcher:
    """Owned by the main loop's thread; the writers only call `wake`."""

    def __init__(
        self,
        spool: Spool,
        ledger: Ledger,
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._wake = wake
        self._stored: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._writers = Writers(spool, ledger, self._is_stored)
        self._routes: dict[str, Route] = {}
        self._ack_order = AckOrder(0)
        self._rejects = Rejects(spool, ledger)
        self.waiting = 0  # messages that the writers have not stored yet

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may: nothing more is to be read."""
        return self.waiting > HELD_MAX or self._rejects.is_full

    def configure(self, tables: Sequence[SinkTable]) -> None:
        """Write to these sinks from now on; those that stay as they are go on.

        A sink that goes, or changes, first stores what it was given, if it can.
        """
        self._writers.configure(tables)
        routes = {table.sink_name: route_of(table) for table in tables}
        # Nearly always all sinks want the same, and nothing has to be sorted.
        self._routes = routes if len(set(routes.values())) > 1 else {}

    def reconnected(self, connection: int) -> None:
        """Packet ids of the connection before are void: nothing of it is acked."""
        self._ack_order = AckOrder(connection)

    def offer(self, batch: Batch) -> None:
        """Give a batch to every writer, and its rejects to the dead letters."""
        self._ack_order.enter(batch)
        if batch.rows:
            self._offer_to_writers(batch)
        if batch.rejects or batch.rejects_qos0:
            self._rejects.offer(batch)

    def _offer_to_writers(self, batch: Batch) -> None:
        for name in self._writers.sinks:
            route = self._routes.get(name)
            rows = route.select(batch.rows) if route else batch.rows
            if rows:
                batch.rows_for[name] = rows
        batch.writing = len(batch.rows_for)
        self.waiting += len(batch.rows)
        for name, rows in batch.rows_for.items():
            self._ledger.offer(name, len(rows))
            self._writers.offer(name, batch)

    def collect(self) -> list[Batch]:
        """The batches that may be acknowledged now, in the order of receipt.

        Raises:
            BridgeError: if a writer thread has died of a bug.
        """
        self._writers.look_after()
        while not self._stored.empty():
            batch = self._stored.get()
            batch.writing -= 1
            if not batch.writing:
                self.waiting -= len(batch.rows)
                batch.forget_rows()
        self._rejects.save_if_due()
        return self._ack_order.pop_stored()

    def busy_seconds(self) -> dict[str, float]:
        """How long each writer has been at what it does; any thread may ask."""
        return self._writers.busy_seconds()

    def is_idle(self) -> bool:
        """Whether nothing is left to store or to acknowledge."""
        return not (self.waiting or self._rejects or len(self._ack_order))

    def stop(self, deadline_s: float) -> None:
        """Let the writers end; what they could not store stays unacknowledged."""
        self._writers.stop(deadline_s)

    def _is_stored(self, batch: Batch) -> None:
        self._stored.put(batch)
        self._wake()
