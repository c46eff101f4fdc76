"""SNTP: the time, from one reply of a server, which is checked.

Field names and layout: RFC 5905 section 7.3; what a simple client must check: its
section 14, and RFC 4330 section 5.
"""

import asyncio
import os
import socket
import time

DEADLINE_S = 2

_PACKET_BYTES = 48
_REQUEST = 0x23  # no leap warning, version 4, mode 3: client
_SERVER = 4  # mode
_NOT_SYNCED = 3  # leap indicator
_SECONDS_1970 = 2208988800  # since 1900
_ERA_S = 4294967296  # 2^32 seconds; era 1 begins in 2036
_DISPERSION_MAX = 0x10000  # 1 s: more is refused


class SntpError(OSError):
    """A reply that is refused; args[0] is the reason.

    After a "kiss of death" the server must not be queried for a while.
    """


def request(nonce):
    """The request; the reply must repeat `nonce` (8 bytes)."""
    return bytes([_REQUEST]) + bytes(_PACKET_BYTES - 9) + nonce


def parse(reply, nonce, round_trip_ms, window_ms):
    """Milliseconds since 1970 at the receipt of the reply.

    Args:
        reply: the packet.
        nonce: that of the request.
        round_trip_ms: from sending the request to receiving the reply.
        window_ms: (earliest, latest) that can be.

    Raises:
        SntpError: it is not the reply, or not a valid one.
    """
    if len(reply) < _PACKET_BYTES or reply[0] & 7 != _SERVER:
        raise SntpError("not a reply")
    if reply[24:32] != nonce:
        raise SntpError("reply to another request")
    if not reply[1]:
        raise SntpError("kiss of death: " + _printable(reply[12:16]))
    if reply[0] >> 6 == _NOT_SYNCED or reply[1] > 15:
        raise SntpError("server is not synchronized")
    if int.from_bytes(reply[8:12], "big") >= _DISPERSION_MAX:
        raise SntpError("root dispersion of the server above 1 s")
    if not any(reply[40:48]):  # it would be read as that of 2036, when the era ends
        raise SntpError("no time in the reply")
    received_ms, sent_ms = _ms(reply[32:40]), _ms(reply[40:48])
    on_the_way_ms = round_trip_ms - (sent_ms - received_ms)
    # By 1 ms less than none: each of the four times has lost less than 1 ms.
    if not -1 <= on_the_way_ms <= round_trip_ms:
        raise SntpError("times of the server contradict each other")
    now_ms = sent_ms + max(0, on_the_way_ms) // 2
    if not window_ms[0] <= now_ms < window_ms[1]:
        raise SntpError("impossible time: %d" % (now_ms // 1000))
    return now_ms


async def ask(address, port, window_ms):
    """Milliseconds since 1970, now; raises OSError. Other tasks run meanwhile."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # Connected, so that datagrams of other hosts are not received.
        sock.connect(socket.getaddrinfo(address, port)[0][-1])
        nonce = os.urandom(8)
        started = time.ticks_ms()
        sock.send(request(nonce))
        return await asyncio.wait_for(
            _reply(sock, nonce, started, window_ms), DEADLINE_S
        )
    except asyncio.TimeoutError:
        raise SntpError("no reply in time")
    finally:
        sock.close()


async def _reply(sock, nonce, started, window_ms):
    stream = asyncio.StreamReader(sock)
    while True:
        reply = await stream.read(_PACKET_BYTES)
        round_trip_ms = time.ticks_diff(time.ticks_ms(), started)
        try:
            return parse(reply, nonce, round_trip_ms, window_ms)
        except SntpError as error:
            # After a forged or late reply, the right one may still come; but after one
            # without a byte, a socket of the ESP32 gives no other for ever.
            known = {"not a reply", "reply to another request"}
            if not reply or error.args[0] not in known:
                raise


def _ms(timestamp):
    seconds = int.from_bytes(timestamp[:4], "big")
    if seconds < _SECONDS_1970:  # they began again
        seconds += _ERA_S
    fraction_ms = int.from_bytes(timestamp[4:], "big") * 1000 >> 32
    return (seconds - _SECONDS_1970) * 1000 + fraction_ms


def _printable(code):
    return "".join([chr(byte) for byte in code if 32 < byte < 127])
