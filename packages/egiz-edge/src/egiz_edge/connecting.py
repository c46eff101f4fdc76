"""What a session with the broker begins with; in memory only meanwhile."""

_NAMES_MAX = 4  # networks that are known to have been joined


async def prepare(client, settings, names):
    """Give an `MQTTClient` the broker of the settings; raises OSError.

    The Wi-Fi is joined by now, and that is kept: see portal/fallback.py.
    """
    keep(names.store, settings.wifi_ssid or "")
    client.server, client.port = settings.host, settings.port
    client.user, client.password = settings.user, settings.password
    if settings.tls and client.ssl is None:
        from egiz_edge import tls  # noqa: PLC0415  # few devices need it

        client.ssl = tls.context(settings.tls)
    client.address = await names.address(settings.host)


def keep(store, ssid):
    """Keep that this network was joined: its name is one of the last few, by lines."""
    stored = store.get("joined")
    known = [] if stored is None else stored.split("\n")
    if ssid not in known:
        known.append(ssid)
        store.put("joined", "\n".join(known[-_NAMES_MAX:]))


async def subscribe(client, topic, log):
    """Whether it was granted; a refused one is logged, and publishing goes on."""
    try:
        await client.subscribe(topic, 1)
    except OSError as error:
        if not client.is_connected:
            raise
        kind = topic.rsplit("/", 1)[1]
        log("%s: %s; its messages are not received" % (kind, error))
        return False
    return True
