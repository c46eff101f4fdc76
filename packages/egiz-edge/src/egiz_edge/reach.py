"""Whether settings lead to the broker, before they are stored; what is wrong if not."""

import asyncio

from egiz_edge import unload

_JOIN_S = 20  # the port gives up after 15
# What an error says -> the reason, which the page has a text for. The first that fits.
_REASONS = (
    ("Wi-Fi: no network", "no_network"),
    ("wrong password", "wrong_key"),
    ("no WPA2", "weak_key"),
    ("no answer in time", "no_answer"),
    ("Wi-Fi:", "not_joined"),
    ("bad user name", "no_login"),
    ("not authorized", "no_login"),
    ("name server", "no_name"),
    ("IPv4", "no_name"),
    ("host name", "no_name"),
)


async def problem(board, given):
    """Join the Wi-Fi, and have the broker accept CONNECT with what was entered.

    None where it does; else (reason, what the error says).
    """
    try:
        await _join(board.wifi, given)
        await _connect(board, given)
    except (OSError, ValueError) as error:
        return _reason(str(error)), str(error)
    return None


async def _join(wifi, given):
    wifi.configure(given["wifi_ssid"], given.get("wifi_password"))
    try:
        await asyncio.wait_for(wifi.connect(), _JOIN_S)
    except asyncio.TimeoutError:
        raise OSError("Wi-Fi: no answer in time")


async def _connect(board, given):
    address = await _address(board, given["broker"])
    from egiz_edge.mqtt import MQTTClient  # noqa: PLC0415  # not beside the look-up

    client = MQTTClient(given["device_id"], given["broker"], given["port"])
    client.user, client.password = given.get("user"), given.get("password")
    client.address = address
    try:
        if given.get("tls") is not None:
            from egiz_edge import tls  # noqa: PLC0415  # few devices need it

            client.ssl = tls.context(given["tls"])
            del tls
            unload("tls")  # the handshake needs its memory
        await client.connect()
        await client.disconnect()
    finally:
        await client.close()


async def _address(board, host):
    from egiz_edge.names import Names  # noqa: PLC0415  # not beside the connection

    try:
        return await Names(board.wifi, board.store, print).address(host)
    finally:
        del Names
        unload("names")


def _reason(text):
    for part, reason in _REASONS:
        if part in text:
            return reason
    return "no_broker"
