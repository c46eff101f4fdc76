"""Time: of an NTP server, or an estimate while the clock is not set.

The clock of a board without battery starts in the year 2000. Until a server has
answered, an estimate goes on from the last time that was known; it is marked
`time_synced: false`. Messages of this boot that still wait are corrected once the clock
is set, by the error of the estimate: the time between them was measured.
"""

import asyncio

from egiz_edge import unload
from egiz_edge.ticker import Backoff

BUILT_MS = 1767225600000  # 2026-01-01: it was not earlier than this firmware
LATEST_MS = 4102444800000  # 2100-01-01: the contract knows no later time
TRIES = 3  # after which messages no longer wait for the time
EVERY_S = 3600  # a crystal is off by some 20 ppm: 0.07 s an hour

_RETRY_MS = (2000, 64000)


class Timekeeper:
    """The time, and the task that keeps the clock synchronized.

    Args:
        board: its `clock`, `store` and `wifi`.
        server: (host, port) of an NTP server.
        boot: number of this boot.
        names: `Names`.
        log: called with each line that a person may want to read.

    Attributes:
        failures: queries without the time, in a row.
        is_doubted: one reply asked for a jump.
        ahead_ms: estimate minus clock, while that is not set.
        shift_ms: truth minus estimate; None until it is known.
        on_ready: called when messages need not wait any longer, or None.
    """

    def __init__(self, board, server, boot, names, log):
        self.clock = board.clock
        self.store = board.store
        self.server = server
        self.names = names
        self.log = log
        self.failures = self.ahead_ms = 0
        self.is_doubted = False
        self.shift_ms = self.on_ready = None
        self._wifi = board.wifi
        self._ours = b',"boot":%d,' % boot
        if not self.is_synced():
            known_ms = max(BUILT_MS, _stored_ms(self.store.get("time")))
            self.ahead_ms = known_ms - self.clock.now_ms()

    def now_ms(self):
        """Milliseconds since 1970, UTC: a time of the contract, also when estimated."""
        return self.clock.now_ms() + self.ahead_ms

    def is_synced(self):
        """Whether `now_ms` is more than an estimate."""
        return self.clock.is_synced()

    def is_ready(self):
        """Whether messages need not wait any longer for a better time."""
        return self.is_synced() or self.failures >= TRIES

    def corrected(self, payload):
        """A telemetry message, with its true time if it is of this boot."""
        if self.shift_ms is None or self._ours not in payload:
            return payload
        if b',"time_synced":false' not in payload:
            return payload
        from egiz_edge import time_sync  # noqa: PLC0415  # not kept, see unload

        try:
            return time_sync.corrected(self, payload)
        finally:
            unload("time_sync", "sntp")

    async def run(self):
        """Query the server until it answers, and then every hour."""
        backoff = Backoff(_RETRY_MS[0], _RETRY_MS[1])
        if self.is_synced():  # the reset before was not a power-on
            await asyncio.sleep(EVERY_S)
        while True:
            wait_s = await self._sync(backoff) if self._wifi.is_up() else 0.2
            await asyncio.sleep(wait_s)

    async def _sync(self, backoff):
        from egiz_edge import time_sync  # noqa: PLC0415  # not kept, see unload

        try:
            return await time_sync.sync(self, backoff)
        finally:
            unload("time_sync", "sntp")


def _stored_ms(text):
    """The time that was stored last; 0 for none, or a damaged one."""
    ms = int(text) if text and text.isdigit() else 0
    return ms if ms < LATEST_MS else 0
