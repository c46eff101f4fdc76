"""Addresses of names, and the last ones that were good."""

from egiz_edge import unload


class Names:
    """Looks names up without blocking other tasks.

    Args:
        wifi: the board's: it knows the name servers of the network.
        store: the board's.
        log: called with each line that a person may want to read.

    Attributes:
        store: as it was given.
    """

    def __init__(self, wifi, store, log):
        self._wifi = wifi
        self.store = store
        self._log = log

    async def address(self, host):
        """The IPv4 address of a host as text, within timeouts.LOOK_UP_MS.

        Where no server gives it, the last one that was good; else raises OSError.
        """
        from egiz_edge import dns, known_names  # noqa: PLC0415  # not kept, see unload

        try:
            return await dns.look_up(host, self._wifi.name_servers())
        except OSError as error:
            address = known_names.address(self.store, host)
            if address is None:
                raise
            self._log("%s; trying its last good address, %s" % (error, address))
            return address
        finally:
            unload("dns", "known_names")

    def keep(self, host, address):
        """The service of `host` has answered at `address`."""
        from egiz_edge import known_names  # noqa: PLC0415  # not kept, see unload

        known_names.keep(self.store, host, address)
        unload("known_names")
