"""What did not decode, on its way to the dead letters; a full disk makes it wait here.

What came at QoS 1 is not acknowledged before it is stored, so it waits: the main loop
reads no more once that is `BYTES_MAX`. What came at QoS 0 was promised to no one: it
waits for a while, and what is more than `QOS0_BYTES_MAX` is dropped and counted.
"""

import time
from collections import deque
from itertools import islice

import structlog

from egiz_bridge.batch import Batch, DeadLetter
from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.pipeline.guard import outage_on_error
from egiz_bridge.spool import Spool

BYTES_MAX = 16 * 1024**2
QOS0_BYTES_MAX = 4 * 1024**2

_AGAIN_S = 1.0
# After an outage of the disk much may wait, and the socket is to be read meanwhile.
_SAVE_FOR_S = 0.1
_SAVED_TOGETHER = 500

_log = structlog.get_logger()


class Rejects:
    """Owned by the main loop's thread."""

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool = spool
        self._ledger = ledger
        self._batches: deque[Batch] = deque()
        self._qos0: deque[DeadLetter] = deque()
        self._bytes = self._qos0_bytes = 0
        self._again_at_s = 0.0
        self._limited_log = RateLimitedLog()

    def __len__(self) -> int:
        """How many batches wait for their rejects to be stored."""
        return len(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether no more is to be read."""
        return self._bytes > BYTES_MAX

    def offer(self, batch: Batch) -> None:
        """Store the rejects of a batch, now if the disk accepts them."""
        if batch.rejects:
            self._batches.append(batch)
            self._bytes += _size(batch.rejects)
        if batch.rejects_qos0:
            letters, batch.rejects_qos0 = batch.rejects_qos0, []
            self._keep_qos0(letters)
        if time.monotonic() >= self._again_at_s:
            self._save()
        else:
            self._report()

    def save_if_due(self) -> None:
        """Try again now and then."""
        waits = self._batches or self._qos0
        if waits and time.monotonic() >= self._again_at_s:
            self._save()

    def _keep_qos0(self, letters: list[DeadLetter]) -> None:
        self._qos0.extend(letters)
        self._qos0_bytes += _size(letters)
        before = len(self._qos0)
        while self._qos0_bytes > QOS0_BYTES_MAX:
            self._qos0_bytes -= _size([self._qos0.popleft()])
        self._ledger.lose_dead_letters(before - len(self._qos0))

    def _save(self) -> None:
        ends_at_s = time.monotonic() + _SAVE_FOR_S
        try:
            while (self._batches or self._qos0) and time.monotonic() < ends_at_s:
                self._save_oldest()
        except Unavailable as error:
            self._again_at_s = time.monotonic() + _AGAIN_S
            self._report(str(error))
            if times := self._limited_log.due("full"):
                _log.error(
                    "backpressure: dead letters cannot be stored; not acknowledging",
                    why=str(error),
                    times=times,
                )
        else:
            self._limited_log.over("full")
            self._report("")

    def _save_oldest(self) -> None:
        if self._batches:
            letters = self._batches[0].rejects
            self._add(letters)
            self._bytes -= _size(letters)
            self._batches.popleft().rejects = []
        else:
            letters = list(islice(self._qos0, _SAVED_TOGETHER))
            self._add(letters)
            self._qos0_bytes -= _size(letters)
            for _ in letters:
                self._qos0.popleft()

    def _add(self, letters: list[DeadLetter]) -> None:
        with outage_on_error("dead letters"):
            self._spool.dead_letters.add(letters)

    def _report(self, why: str | None = None) -> None:
        waiting = sum(len(batch.rejects) for batch in self._batches)
        self._ledger.dead_letters_wait(waiting + len(self._qos0), why)


def _size(letters: list[DeadLetter]) -> int:
    return sum(letter.memory_bytes for letter in letters)
