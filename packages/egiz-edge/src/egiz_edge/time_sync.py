"""Synchronization with a time server; in memory only during a query.

`keeper` is the `Timekeeper`.
"""

from egiz_edge import sntp
from egiz_edge.timekeeping import BUILT_MS, EVERY_S, LATEST_MS, TRIES

_REFUSED_S = 900  # after a "kiss of death", while the clock is not set
_JUMP_MS = 60000  # a clock that is set is moved by more only if two replies agree
_UNSYNCED = b',"time_synced":false'


async def sync(keeper, backoff):
    """Query the server; gives how many seconds to wait until the next query."""
    try:
        set_clock(keeper, await query(keeper))
    except OSError as error:
        _count_failure(keeper, error)
        wait_s = backoff.next_ms() / 1000
        if str(error).startswith("kiss of death"):
            wait_s = EVERY_S if keeper.is_synced() else _REFUSED_S
        return wait_s
    backoff.reset()
    return EVERY_S


async def query(keeper):
    """The time of the server; raises OSError."""
    host, port = keeper.server
    address = await keeper.names.address(host)
    now_ms = await sntp.ask(address, port, (BUILT_MS, LATEST_MS))
    keeper.names.keep(host, address)
    return now_ms


def set_clock(keeper, true_ms):
    """Set it to the time of a server; raises OSError if that is doubtful."""
    wrong_ms = true_ms - keeper.now_ms()
    if keeper.is_synced() and abs(wrong_ms) > _JUMP_MS and not keeper.is_doubted:
        keeper.is_doubted = True
        raise OSError("a jump of %d s, to be confirmed" % (wrong_ms // 1000))
    keeper.is_doubted = False
    if not keeper.is_synced():
        keeper.shift_ms = wrong_ms
        keeper.ahead_ms = 0
        keeper.log("time set by %s" % keeper.server[0])
    keeper.clock.set_ms(true_ms)
    keeper.store.put("time", str(true_ms))
    keeper.failures = 0
    _report_ready(keeper)


def corrected(keeper, payload):
    """A telemetry message of this boot that has an estimate, with its true time."""
    start = payload.index(b'"timestamp":') + 12
    middle = payload.index(b',"ms":', start)
    end = payload.index(b",", middle + 1)
    ms = 1000 * int(payload[start:middle]) + int(payload[middle + 6 : end])
    time = b'%d,"ms":%d' % divmod(ms + keeper.shift_ms, 1000)
    return payload[:start] + time + payload[end:].replace(_UNSYNCED, b"")


def _count_failure(keeper, error):
    keeper.failures += 1
    host = keeper.server[0]
    if keeper.failures == 1:  # logged once, not every hour
        keeper.log("no time from %s: %s; trying again" % (host, error))
    # A server that refuses is not queried again soon: messages do not wait for it.
    if str(error).startswith("kiss of death") and keeper.failures < TRIES:
        keeper.failures = TRIES
    if keeper.failures == TRIES:
        _report_ready(keeper)


def _report_ready(keeper):
    if keeper.on_ready:
        keeper.on_ready()
