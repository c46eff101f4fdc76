"""Addresses of names, and the last ones that were good."""

import json

from egiz_edge.downlink import unload

_KEY = "addresses"  # in the store: pairs of a name and its address
_KEPT = 3  # broker, time server, and a broker on trial


class Names:
    """Looks names up without blocking other tasks.

    Args:
        wifi: the board's: it knows the name servers of the network.
        store: the board's.
        log: called with each line that a person may want to read.
    """

    def __init__(self, wifi, store, log):
        self._wifi = wifi
        self._store = store
        self._log = log

    async def address(self, host):
        """The IPv4 address of a host as text, within timeouts.LOOK_UP_MS.

        Where no server gives it, the last one that was good; else raises OSError.
        """
        from egiz_edge import dns  # noqa: PLC0415  # not kept, see downlink

        try:
            return await dns.look_up(host, self._wifi.name_servers())
        except OSError as error:
            for name, address in self._known():
                if name == host:
                    self._log("%s; trying its last good address, %s" % (error, address))
                    return address
            raise
        finally:
            unload(("egiz_edge.dns",))

    def keep(self, host, address):
        """The service of `host` has answered at `address`."""
        known = self._known()
        if host == address or [host, address] in known:
            return
        kept = [pair for pair in known if pair[0] != host][1 - _KEPT :]
        kept.append([host, address])
        self._store.put(_KEY, json.dumps(kept))

    def _known(self):
        try:
            pairs = json.loads(self._store.get(_KEY) or "[]")
            return [[name, address] for name, address in pairs]
        except (ValueError, TypeError):
            return []  # damaged: the next good address replaces it
