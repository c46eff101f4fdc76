"""Where a release comes from."""

import asyncio

from egiz_edge import unload
from egiz_edge.ota.fetch import AnswerError, BrokenError, Download, FetchError

_TLS = "tls"
_found = {}  # until something fails: addresses by host, and the context
_WAIT_MAX_S = 30  # between two tries; the first waits are shorter
_WRONG_MAX = 3  # tries, where the server answers, and wrongly


class Keys:
    """What is kept of a `KeySet`, of which the module is not."""

    def __init__(self, number, moduli):
        self.number, self.moduli = number, moduli


def release_of(order):
    """The URL of the release that is ordered."""
    return "%s/%s.egz" % (order["url"], order["version"])


def download_of(board, settings):
    """A `Download` over the network of a board, with the authority of its broker."""

    async def address_of(host):
        key = "host " + host
        if key not in _found:
            from egiz_edge import dns  # noqa: PLC0415  # not kept

            try:
                servers = board.wifi.name_servers()
                _found[key] = await dns.look_up(host, servers)
            finally:
                del dns
                unload("dns")
        return _found[key]

    def context():
        if _TLS not in _found:  # in a heap of holes there may be no room for a second
            from egiz_edge import tls  # noqa: PLC0415  # as above

            try:
                _found[_TLS] = tls.context(settings["tls"])
            except (OSError, ValueError) as error:  # the latter is Mbed TLS's
                raise AnswerError(str(error))  # no wait cures it
            finally:
                del tls
                unload("tls")
        return _found[_TLS]

    return Download(address_of, context)


async def attempt(board, settings, step, limit_ms):
    """What a coroutine function gives, in the network; what breaks off is tried again.

    Raises:
        OSError: with the last reason, after `limit_ms`; sooner if the server answers
            wrongly again and again, or the flash fails.
        Refused: as `step` does.
    """
    reasons = ["too slow"]  # the last one
    feeding = asyncio.create_task(_feed(board.watchdog))
    try:
        trying = _retried(board.wifi, settings, step, reasons)
        return await asyncio.wait_for(trying, limit_ms / 1000)
    except asyncio.TimeoutError:
        raise OSError(reasons[0])
    finally:
        feeding.cancel()
        _found.clear()


async def _retried(wifi, settings, step, reasons):
    wrong, wait_s = 0, 1
    while True:
        try:
            await _join(wifi, settings)
            return await step()
        except FetchError as error:
            reasons[0] = str(error)
            if isinstance(error, AnswerError):
                wrong += 1
                if wrong == _WRONG_MAX:
                    raise
            elif type(error) is BrokenError:
                wait_s = 1
            else:
                _found.clear()  # the host may have another address now
            print("update: %s, retry in %d s" % (error, wait_s))
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _WAIT_MAX_S)


async def _feed(watchdog):
    """While `attempt` waits, which has an end."""
    while True:
        watchdog.feed()
        await asyncio.sleep(1)


async def _join(wifi, settings):
    if settings["wifi_ssid"] is not None and not wifi.is_up():
        wifi.configure(settings["wifi_ssid"], settings["wifi_password"])
    try:
        await wifi.connect()
    except OSError as error:
        raise FetchError(str(error))
