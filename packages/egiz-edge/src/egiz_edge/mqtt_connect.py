"""CONNECT and CONNACK of MQTT 3.1.1; in memory only while a connection is made."""

import asyncio

from egiz_edge.mqtt import MQTTException, packet, string

_CONNECT, _CONNACK = 0x10, 0x20
_REFUSALS = (  # return codes 1 to 5 (3.2.2.3)
    "protocol version",
    "client id",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


async def handshake(client, clean_session, in_time_s):
    """Open the connection of an `MQTTClient`: whether the broker had a session."""
    try:
        opening = _open(client, clean_session)
        return await asyncio.wait_for(opening, in_time_s)
    except asyncio.TimeoutError:
        raise MQTTException("no CONNACK in time")
    except EOFError:
        raise MQTTException("closed before CONNACK")
    except ValueError as error:  # Mbed TLS on the broker's certificate
        raise MQTTException(str(error).strip())


async def _open(client, clean_session):
    """TCP, TLS, CONNECT and CONNACK."""
    client.reader, client.writer = await asyncio.open_connection(
        client.address or client.server,
        client.port or (8883 if client.ssl else 1883),
        ssl=client.ssl,
        # No certificate has the root that a name may be written with.
        server_hostname=client.ssl and client.server.rstrip("."),
    )
    await client.send(_connect_packet(client, clean_session))
    answer = await client.reader.readexactly(4)
    reason = _refusal(answer)
    if reason is not None:
        raise MQTTException(reason)
    return bool(answer[2] & 1)


def _connect_packet(client, clean_session):
    flags = 2 if clean_session else 0
    fields = [string(client.client_id)]
    if client.will:
        topic, msg, retain, qos = client.will
        flags |= 0x04 | (qos << 3) | (0x20 if retain else 0)
        fields += [string(topic), string(msg)]
    if client.user is not None:
        flags |= 0x80
        fields.append(string(client.user))
        if client.password is not None:
            flags |= 0x40
            fields.append(string(client.password))
    head = string("MQTT") + bytes([4, flags]) + client.keepalive.to_bytes(2, "big")
    return packet(_CONNECT, head, *fields)


def _refusal(answer):
    """Why the four bytes of an answer are no CONNACK that accepts, or None."""
    if answer[0] != _CONNACK or answer[1] != 2:
        return "no CONNACK, but packet 0x%02x" % answer[0]
    if not answer[3]:
        return None
    known = answer[3] <= len(_REFUSALS)
    return "refused: " + (_REFUSALS[answer[3] - 1] if known else "code %d" % answer[3])
