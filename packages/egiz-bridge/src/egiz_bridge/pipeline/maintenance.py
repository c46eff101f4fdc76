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
    """Requeues what an operator replays, drops what has waited for too long."""

    def __init__(self, sink: str, spool: Spool, ledger: Ledger) -> None:
        self._sink = sink
        self._spool = spool
        self._ledger = ledger
        self._limited_log = RateLimitedLog()
        self._due_at_s = 0.0

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
        except Unavailable as error:
            if times := self._limited_log.due("spool"):
                event = "cannot maintain the spool; replays and expiry wait"
                _log.warning(event, why=str(error), times=times)
        else:
            self._limited_log.over("spool")
        return requeued

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
