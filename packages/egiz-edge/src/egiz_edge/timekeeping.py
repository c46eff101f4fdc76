"""What time it is, and what it was when the clock was not set yet.

A board without battery wakes up in the year 2000. Until a server has told the time, an
estimate goes on from the last time that was known; it is marked `time_synced: false`.
Messages of this boot that still wait are corrected once the clock is set, by what the
estimate was wrong: the time that passed between was measured all the same.
"""

import asyncio
import sys

from egiz_edge.backoff import Backoff

_BUILT_MS = 1767225600000  # 2026-01-01: it was not earlier than this firmware
_LATEST_MS = 4102444800000  # 2100-01-01: the contract knows no later time
_EVERY_S = 3600  # a crystal is off by some 20 ppm: 0.07 s an hour
_RETRY_MS = (2000, 64000)
_TRIES = 3  # after which messages no longer wait for the time
_JUMP_MS = 60000  # a clock that is set is moved so far only if told so twice
_KEY = "time"


class Timekeeper:
    """The clock, kept right.

    Args:
        board: its `clock`, `store` and `wifi`.
        server: (host, port) of an NTP server.
        boot: number of this boot.
        log: called with each line that a person may want to read.
    """

    def __init__(self, board, server, boot, log):
        self._clock = board.clock
        self._store = board.store
        self._wifi = board.wifi
        self._server = server
        self._ours = b',"boot":%d,' % boot
        self._log = log
        self._failures = 0
        self._is_doubted = False  # the server told of a jump, once
        self._ahead_ms = 0  # estimate minus clock, while that is not set
        self._shift_ms = None  # truth minus estimate, once it is known
        self.on_settled = None
        if not self._clock.is_synced():
            known_ms = max(_BUILT_MS, int(self._store.get(_KEY) or 0))
            self._ahead_ms = known_ms - self._clock.now_ms()

    def now_ms(self):
        """Milliseconds since 1970, UTC: a time of the contract, also when estimated."""
        return self._clock.now_ms() + self._ahead_ms

    def is_synced(self):
        """Whether `now_ms` is more than an estimate."""
        return self._clock.is_synced()

    def is_settled(self):
        """Whether there is no point in waiting for a better time."""
        return self.is_synced() or self._failures >= _TRIES

    def corrected(self, payload):
        """A telemetry message of this boot, with the time that it really was."""
        unsynced = b',"time_synced":false'
        if self._shift_ms is None or unsynced not in payload:
            return payload
        if self._ours not in payload:
            return payload
        start = payload.index(b'"timestamp":') + 12
        middle = payload.index(b',"ms":', start)
        end = payload.index(b",", middle + 1)
        told_ms = 1000 * int(payload[start:middle]) + int(payload[middle + 6 : end])
        time = b'%d,"ms":%d' % divmod(told_ms + self._shift_ms, 1000)
        return payload[:start] + time + payload[end:].replace(unsynced, b"")

    async def run(self):
        """Ask, again until it works, and then every hour."""
        backoff = Backoff(_RETRY_MS[0], _RETRY_MS[1])
        if self.is_synced():  # the reset before was not a power-on
            await asyncio.sleep(_EVERY_S)
        while True:
            if not self._wifi.is_up():
                await asyncio.sleep(0.2)
                continue
            try:
                self.take(await self._ask())
                backoff.reset()
                await asyncio.sleep(_EVERY_S)
            except OSError as fault:
                self._fail(fault)
                is_kiss = str(fault).startswith("kiss of death")
                await asyncio.sleep(_EVERY_S if is_kiss else backoff.next_ms() / 1000)

    async def _ask(self):
        from egiz_edge import sntp  # noqa: PLC0415  # on the heap once an hour only

        host, port = self._server
        try:
            return await sntp.ask(host, port, (_BUILT_MS, _LATEST_MS))
        finally:
            del sys.modules["egiz_edge.sntp"]
            del sys.modules["egiz_edge"].sntp

    def take(self, true_ms):
        """Set the clock to what a server told; raises OSError if that is doubtful."""
        wrong_ms = true_ms - self.now_ms()
        if self.is_synced() and abs(wrong_ms) > _JUMP_MS and not self._is_doubted:
            self._is_doubted = True
            raise OSError("a jump of %d s, to be confirmed" % (wrong_ms // 1000))
        self._is_doubted = False
        if not self.is_synced():
            self._shift_ms = wrong_ms
            self._ahead_ms = 0
            self._log("time set by %s" % self._server[0])
        self._clock.set_ms(true_ms)
        self._store.put(_KEY, str(true_ms))
        self._failures = 0
        self._settle()

    def _fail(self, fault):
        self._failures += 1
        if self._failures == 1:  # an hourly line would tell nobody more
            self._log("no time from %s: %s" % (self._server[0], fault))
        if self._failures == _TRIES:
            self._settle()

    def _settle(self):
        if self.on_settled:
            self.on_settled()
