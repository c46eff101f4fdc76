"""The networks that were joined: their names, in lines, the newest last."""

_NAMES_MAX = 4


def keep(store, ssid):
    """Keep that this network was joined; a name that is there costs no flash."""
    stored = store.get("joined")
    known = [] if stored is None else stored.split("\n")
    if ssid not in known:
        known.append(ssid)
        store.put("joined", "\n".join(known[-_NAMES_MAX:]))
