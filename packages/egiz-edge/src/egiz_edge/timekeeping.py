"""Time: of an NTP server, or an estimate while the clock is not set.

The clock of a board without battery starts in the year 2000. Until a server has
answered, an estimate goes on from the last time that was known; it is marked
`time_synced: false`. Messages of this boot that still wait are corrected once the clock
is set, by the error of the estimate: the time between them was measured.
"""

import asyncio

from egiz_edge.backoff import Backoff
from egiz_edge.downlink import unload

_BUILT_MS = 1767225600000  # 2026-01-01: it was not earlier than this firmware
_LATEST_MS = 4102444800000  # 2100-01-01: the contract knows no later time
_EVERY_S = 3600  # a crystal is off by some 20 ppm: 0.07 s an hour
_RETRY_MS = (2000, 64000)
_REFUSED_S = 900  # after a "kiss of death", while the clock is not set
_TRIES = 3  # after which messages no longer wait for the time
_JUMP_MS = 60000  # a clock that is set is moved by more only if two replies agree
_KEY = "time"


class Timekeeper:
    """Keeps the clock synchronized.

    Args:
        board: its `clock`, `store` and `wifi`.
        server: (host, port) of an NTP server.
        boot: number of this boot.
        names: `Names`.
        log: called with each line that a person may want to read.
    """

    def __init__(self, board, server, boot, names, log):
        self._clock = board.clock
        self._store = board.store
        self._wifi = board.wifi
        self._server = server
        self._ours = b',"boot":%d,' % boot
        self._names = names
        self._log = log
        self._failures = 0
        self._is_doubted = False  # one reply asked for a jump
        self._ahead_ms = 0  # estimate minus clock, while that is not set
        self._shift_ms = None  # truth minus estimate, once it is known
        self.on_ready = None
        if not self._clock.is_synced():
            known_ms = max(_BUILT_MS, _stored_ms(self._store.get(_KEY)))
            self._ahead_ms = known_ms - self._clock.now_ms()

    def now_ms(self):
        """Milliseconds since 1970, UTC: a time of the contract, also when estimated."""
        return self._clock.now_ms() + self._ahead_ms

    def is_synced(self):
        """Whether `now_ms` is more than an estimate."""
        return self._clock.is_synced()

    def is_ready(self):
        """Whether messages need not wait any longer for a better time."""
        return self.is_synced() or self._failures >= _TRIES

    def corrected(self, payload):
        """A telemetry message of this boot, with its true time."""
        unsynced = b',"time_synced":false'
        if self._shift_ms is None or unsynced not in payload:
            return payload
        if self._ours not in payload:
            return payload
        start = payload.index(b'"timestamp":') + 12
        middle = payload.index(b',"ms":', start)
        end = payload.index(b",", middle + 1)
        estimated_ms = 1000 * int(payload[start:middle]) + int(
            payload[middle + 6 : end]
        )
        time = b'%d,"ms":%d' % divmod(estimated_ms + self._shift_ms, 1000)
        return payload[:start] + time + payload[end:].replace(unsynced, b"")

    async def run(self):
        """Query the server until it answers, and then every hour."""
        backoff = Backoff(_RETRY_MS[0], _RETRY_MS[1])
        if self.is_synced():  # the reset before was not a power-on
            await asyncio.sleep(_EVERY_S)
        while True:
            if not self._wifi.is_up():
                await asyncio.sleep(0.2)
                continue
            try:
                self.set(await self.query())
                backoff.reset()
                await asyncio.sleep(_EVERY_S)
            except OSError as error:
                self._count_failure(error)
                wait_s = backoff.next_ms() / 1000
                if str(error).startswith("kiss of death"):
                    wait_s = _EVERY_S if self.is_synced() else _REFUSED_S
                await asyncio.sleep(wait_s)

    async def query(self):
        """The time of the server; raises OSError."""
        host, port = self._server
        address = await self._names.address(host)
        from egiz_edge import sntp  # noqa: PLC0415  # on the heap once an hour only

        try:
            now_ms = await sntp.ask(address, port, (_BUILT_MS, _LATEST_MS))
        finally:
            unload(("egiz_edge.sntp",))
        self._names.keep(host, address)
        return now_ms

    def set(self, true_ms):
        """Set the clock to the time of a server; raises OSError if that is doubtful."""
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
        self._report_ready()

    def _count_failure(self, error):
        self._failures += 1
        if self._failures == 1:  # logged once, not every hour
            self._log("no time from %s: %s; trying again" % (self._server[0], error))
        # A server that refuses is not queried again soon: messages do not wait for it.
        if str(error).startswith("kiss of death") and self._failures < _TRIES:
            self._failures = _TRIES
        if self._failures == _TRIES:
            self._report_ready()

    def _report_ready(self):
        if self.on_ready:
            self.on_ready()


def _stored_ms(text):
    """The time that was stored last; 0 for none, or a damaged one."""
    ms = int(text) if text and text.isdigit() else 0
    return ms if ms < _LATEST_MS else 0
