"""Names whose address was good, in the store; in memory only during a look-up."""

import json

_KEY = "addresses"  # pairs of a name and its address
_KEPT = 3  # broker, time server, and a broker on trial


def address(store, host):
    """The last good address of a host, or None."""
    from egiz_edge.dns import is_address  # noqa: PLC0415  # loaded, after a look-up

    for name, known in _known(store):
        if name == host and is_address(known):
            return known
    return None


def keep(store, host, address):
    """The service of `host` has answered at `address`."""
    known = _known(store)
    if host == address or [host, address] in known:
        return
    kept = [pair for pair in known if pair[0] != host][1 - _KEPT :]
    kept.append([host, address])
    store.put(_KEY, json.dumps(kept))


def _known(store):
    try:
        pairs = json.loads(store.get(_KEY) or "[]")
        return [[name, address] for name, address in pairs]
    except (ValueError, TypeError):
        return []  # damaged: the next good address replaces it
