"""CONNECT and CONNACK of MQTT 3.1.1; in memory only while a connection is made."""

_CONNECT, _CONNACK = 0x10, 0x20
_REFUSALS = (  # return codes 1 to 5 (3.2.2.3)
    "protocol version",
    "client id",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


def connect_packet(client, will, clean_session):
    """The CONNECT of an `MQTTClient`; `will` is as `set_last_will` gets it, or None."""
    from egiz_edge.mqtt import packet, string  # noqa: PLC0415  # they import each other

    flags = 2 if clean_session else 0
    fields = [string(client.client_id)]
    if will:
        topic, msg, retain, qos = will
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


def refusal(answer):
    """Why the four bytes of an answer are no CONNACK that accepts, or None."""
    if answer[0] != _CONNACK or answer[1] != 2:
        return "no CONNACK, but packet 0x%02x" % answer[0]
    if not answer[3]:
        return None
    known = answer[3] <= len(_REFUSALS)
    return "refused: " + (_REFUSALS[answer[3] - 1] if known else "code %d" % answer[3])
