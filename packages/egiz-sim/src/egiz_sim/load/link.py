"""A connection that reads, blocking: of observers, which have nothing else to do."""

import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from egiz_cli import explain_refusal

from egiz_sim import packets
from egiz_sim.broker import Broker, TlsFiles

_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 18


def to_json(broker: Broker) -> dict[str, Any]:
    """Where to connect, for another process."""
    return asdict(broker)


def from_json(given: dict[str, Any]) -> Broker:
    """The other way round."""
    tls = given["tls"]
    return Broker(**{**given, "tls": TlsFiles(**tls) if tls else None})


def connect(broker: Broker, client_id: str, *, is_clean: bool) -> socket.socket:
    """Connect as a subscriber.

    Raises:
        OSError: if it cannot; also if the broker refuses.
    """
    link = socket.create_connection((broker.host, broker.port), _TIMEOUT_S)
    try:
        if broker.tls and (context := broker.tls.context(client_id)):
            link = context.wrap_socket(link, server_hostname=broker.certified_name)
        account = (broker.username, broker.password)
        link.sendall(packets.connect_subscriber(client_id, *account, is_clean=is_clean))
        _read_connack(link)
    except BaseException:
        link.close()
        raise
    return link


def read(link: socket.socket) -> bytes:
    """What has come; empty once the broker has closed the connection."""
    data = link.recv(_READ_BYTES)
    # What TLS has decrypted already does not make the socket readable.
    while pending := getattr(link, "pending", int)():
        data += link.recv(pending)
    return data


def retained(
    broker: Broker, client_id: str, topic: str, wanted: Iterable[str], seconds: float
) -> dict[str, bytes]:
    """What the broker keeps under a topic; waits so long for what is wanted."""
    found: dict[str, bytes] = {}
    until = time.monotonic() + seconds
    with connect(broker, client_id, is_clean=True) as link:
        link.sendall(packets.subscribe(1, topic))
        unparsed, missing = b"", set(wanted)
        while missing and (left := until - time.monotonic()) > 0:
            link.settimeout(left)
            try:
                data = read(link)
            except TimeoutError:
                break
            if not data:
                break
            unparsed = _note(unparsed + data, found)
            missing -= found.keys()
        link.sendall(packets.DISCONNECT)
    return found


def _note(data: bytes, found: dict[str, bytes]) -> bytes:
    position = 0
    while (body := packets.body(data, position)) is not None:
        if data[position] & 0xF0 == packets.PUBLISH:
            message = packets.read_publish(data[position], data[slice(*body)])
            found[message.topic.decode()] = message.payload
        position = body[1]
    return data[position:]


def _read_connack(link: socket.socket) -> None:
    data = b""
    while len(data) < packets.CONNACK_BYTES:
        more = link.recv(packets.CONNACK_BYTES - len(data))
        if not more:
            raise ConnectionError("the broker closed the connection")
        data += more
    if data[-1]:
        raise ConnectionError(explain_refusal(data[-1]))
