"""Writes what can be written, and finds the rows and fields that cannot.

A database says that something in a batch is bad, not always what. Where its words name
rows or fields, these are separated; else the batch is bisected. That is done in turns
(turn.py), bounded in requests and in time: what is not done after one is given back.

Words that name nothing may as well be about an address, a name or a proxy. They are
taken for rows only if another row gets through at the same time (decision 16 in
docs/adr): else it is an outage, and nothing is a dead letter.
"""

from collections.abc import Callable, Sequence

from egiz_bridge.batch import DeadLetter, Row
from egiz_bridge.pipeline.evidence import Evidence
from egiz_bridge.pipeline.refusals import Refusals
from egiz_bridge.pipeline.requests import Requests
from egiz_bridge.pipeline.turn import Outcome, Turn
from egiz_bridge.sinks.sink import Sink


class Isolation:
    """What is known of the rows that one sink rejects.

    Args:
        sink: raises nothing but `Rejected` and `Unavailable`.
        add_dead_letters: keeps them, fsynced when it returns; raises `Unavailable`.
        is_alive: called before each request.
        observe: called after each, with the seconds that it took.
    """

    def __init__(
        self,
        sink: Sink,
        add_dead_letters: Callable[[list[DeadLetter]], None],
        is_alive: Callable[[], None],
        observe: Callable[[float], None],
    ) -> None:
        self._requests = Requests(sink, is_alive, observe)
        self._refusals = Refusals()
        self._evidence = Evidence()
        self._add_dead_letters = add_dead_letters

    def write(self, rows: Sequence[Row]) -> Outcome:
        """Write all that can be written in a turn; dead letters are kept as it goes.

        Rows may be written more than once, which does no harm.
        """
        refusals, evidence = self._refusals, self._evidence
        refusals.forget_if_due()
        requests, add = self._requests, self._add_dead_letters
        return Turn(requests, add, refusals, evidence, rows).run()

    def forget(self) -> None:
        """Try everything again: the database may have been repaired."""
        self._refusals.forget()

    def spooled(self, rows: Sequence[Row]) -> None:
        """Rows that were spooled; one of them may show that the sink accepts rows."""
        self._evidence.spooled(rows)
