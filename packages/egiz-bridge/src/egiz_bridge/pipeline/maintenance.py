"""What is done to the spool of one sink every few seconds, while its writer runs."""

import time

import structlog

from egiz_bridge.errors import Unavailable
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.log import RateLimitedLog
from egiz_bridge.spool import Spool

_EVERY_S = 2.0

_log = structlog.get_logger()


class Maintenance:
    """Requeues what an operator replays, drops what has waited for too long.

    Args:
        sink: its name.
        spool: what it looks after.
        ledger: where it counts.
    """

    def __init__(self, sink: str, spool: Spool, ledger: Ledger) -> None:
        self._sink = sink
        self._user = f"maintenance of {sink}"  # of the spool
        self._spool = spool
        self._ledger = ledger
        self._limited_log = RateLimitedLog()
        self._due_at_s = 0.0
        self._is_restored = False

    def restore(self) -> None:
        """Count what earlier runs left in the spool, before anything else is in it.

        Raises:
            Unavailable: it cannot be read.
        """
        if self._is_restored:
            return
        if not self._ledger.is_restored(self._sink):
            left = self._spool.batches.counts().get(self._sink, 0)
            self._ledger.restore_all(self._sink, left)
        self._is_restored = True

    def due_in_s(self) -> float:
        """Seconds until it is to be run again."""
        return max(0.0, self._due_at_s - time.monotonic())

    def run(self) -> bool:
        """Do it if it is due; returns whether there are replays to be written."""
        if self.due_in_s():
            return False
        self._due_at_s = time.monotonic() + _EVERY_S
        requeued = False
        try:
            requeued = self._requeue()
            self._expire()
            self._spool.probe()
        except Unavailable as error:
            self._ledger.spool_is_down(self._user, str(error))
            if times := self._limited_log.due("spool"):
                event = "spool unavailable: nothing can be stored in it; replays wait"
                _log.warning(event, why=str(error), times=times)
        else:
            self._ledger.spool_is_up(self._user)
            self._limited_log.over("spool")
        return requeued

    def end(self) -> None:
        """It is not run any more: what was wrong with the spool is not known."""
        self._ledger.spool_is_up(self._user)

    def _requeue(self) -> bool:
        if requeued := self._spool.replays.requeue(self._sink):
            _log.info("replaying dead letters", sink=self._sink, messages=requeued)
            self._ledger.restore(self._sink, requeued)
        return bool(requeued)

    def _expire(self) -> None:
        if expired := self._spool.batches.expire(self._sink):
            _log.error(
                "dropped: waited for more than spool.max_age_days",
                sink=self._sink,
                messages=expired,
            )
            self._ledger.expire(self._sink, expired)
