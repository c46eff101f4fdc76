"""The TCP connection to the broker, by whichever address of its name accepts one."""

import socket
from collections.abc import Callable
from contextlib import suppress

from egiz_bridge.errors import MqttError

STOPPED = "the bridge was stopped meanwhile"


def connected(
    host: str, port: int, timeout_s: float, should_stop: Callable[[], bool]
) -> socket.socket:
    """A connected socket; its timeout is that of the connecting.

    `socket.create_connection` does the same, and does not ask in between: a name with
    many addresses that do not answer would hold up a stop, and look like a standstill.

    Args:
        host: a name or an address.
        port: of it.
        timeout_s: for each address that the name has.
        should_stop: asked before each but the first of them.

    Raises:
        MqttError: the bridge is to stop.
        OSError: there is no such name, or what the last address said.
    """
    *others, last = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, _, protocol, _, address in others:
        with suppress(OSError):
            return _connected(family, protocol, address, timeout_s)
        if should_stop():
            raise MqttError(STOPPED)
    family, _, protocol, _, address = last
    return _connected(family, protocol, address, timeout_s)


def _connected(
    family: int, protocol: int, address: tuple[object, ...], timeout_s: float
) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        made.settimeout(timeout_s)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made
