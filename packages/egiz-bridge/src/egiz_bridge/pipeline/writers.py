"""The writers of all sinks: begun, retired, and what a retired one leaves.

A sink whose settings change gets another writer, which goes on with what the one before
could not store. What was left for a sink that is removed is given up.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from egiz_bridge.batch import Batch
from egiz_bridge.errors import BridgeError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.pipeline.writer import Writer
from egiz_bridge.sinks.sink import SinkTable
from egiz_bridge.spool import Spool

_log = structlog.get_logger()


class Writers:
    """Owned by the main loop's thread.

    Args:
        spool: where they keep what a sink does not accept.
        ledger: where they count it.
        done: called when a writer has stored a batch, by its thread.
    """

    def __init__(
        self, spool: Spool, ledger: Ledger, done: Callable[[Batch], None]
    ) -> None:
        self._spool, self._ledger, self._done = spool, ledger, done
        self._tables: dict[str, SinkTable] = {}
        self._writers: dict[str, Writer] = {}
        self._retired: list[Writer] = []
        self._limited_log = RateLimitedLog()

    @property
    def sinks(self) -> list[str]:
        """The names of their sinks."""
        return list(self._writers)

    def configure(self, tables: Sequence[SinkTable]) -> None:
        """Write to these sinks from now on; those that stay as they are go on."""
        wanted = {table.sink_name: table for table in tables}
        for name, writer in list(self._writers.items()):
            if wanted.get(name) != self._tables[name]:
                writer.stop()
                self._retired.append(self._writers.pop(name))
        for name in wanted.keys() - self._writers.keys():
            self._begin(wanted[name])
        self._tables = wanted

    def offer(self, name: str, batch: Batch) -> None:
        """Give a batch to one of them; never blocks."""
        self._writers[name].offer(batch)

    def look_after(self) -> None:
        """Start those that could not be started, and close those that have ended.

        Raises:
            BridgeError: if one has died of a bug.
        """
        for writer in self._writers.values():
            if writer.ident is None:
                self._start(writer)
            elif not writer.is_alive():
                raise BridgeError(f"{writer.name} has died; see the traceback above")
        for writer in [one for one in self._retired if not one.is_alive()]:
            self._retired.remove(writer)
            self._close(writer)

    def busy_seconds(self) -> dict[str, float]:
        """How long each has been at what it does; any thread may ask."""
        now_s = time.monotonic()
        writers = [*self._retired, *self._writers.values()]
        return {
            one.name: max(0.0, now_s - one.busy_since_s)
            for one in writers
            if one.is_alive()
        }

    def stop(self, deadline_s: float) -> None:
        """Let them end; what they could not store stays unacknowledged."""
        until_s = time.monotonic() + deadline_s
        for writer in self._writers.values():
            writer.stop()
        for writer in [*self._retired, *self._writers.values()]:
            if writer.ident is not None:
                writer.join(max(0.0, until_s - time.monotonic()))

    def _begin(self, table: SinkTable) -> None:
        name = table.sink_name
        before = [one for one in self._retired if one.sink_name == name]
        writer = Writer(
            name,
            table.open,
            self._spool,
            self._ledger,
            self._done,
            after=before,
        )
        self._writers[name] = writer
        self._start(writer)

    def _start(self, writer: Writer) -> None:
        try:
            writer.start()
        except RuntimeError as error:  # the machine, or a limit of the service
            self._ledger.sink_is_down(writer.sink_name, f"no thread: {error}")
            if times := self._limited_log.due(writer.name):
                _log.error(
                    "no thread can be started for a sink: its messages wait;"
                    " raise TasksMax or the limit of threads",
                    sink=writer.sink_name,
                    why=str(error),
                    times=times,
                )

    def _close(self, writer: Writer) -> None:
        """Give up what it has left, unless another writer of its sink takes that."""
        name = writer.sink_name
        if name in self._writers or any(one.sink_name == name for one in self._retired):
            return
        left = writer.take_left()
        if left:
            _log.error(
                "given up: neither a sink that was removed nor the spool accepted them",
                sink=name,
                messages=sum(len(batch.rows_for[name]) for batch in left),
            )
        self._ledger.close(name)
        for batch in left:
            self._done(batch)
