"""What a session with the broker begins with; in memory only meanwhile."""

from egiz_edge import unload


async def prepare(client, settings, names):
    """Give an `MQTTClient` the broker of the settings; raises OSError.

    The Wi-Fi is joined by now, and that is kept: see portal/fallback.py.
    """
    stored, ssid = names.store.get("joined"), settings.wifi_ssid or ""
    if stored is None or ssid not in stored.split("\n"):
        from egiz_edge import joined  # noqa: PLC0415  # seldom needed

        joined.keep(names.store, ssid)
        unload("joined")
    client.server, client.port = settings.host, settings.port
    client.user, client.password = settings.user, settings.password
    if settings.tls and client.ssl is None:
        from egiz_edge import tls  # noqa: PLC0415  # few devices need it

        client.ssl = tls.context(settings.tls)
    client.address = await names.address(settings.host)


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
