"""A name server for which every name is the board: that opens the page on a phone.

RFC 1035. To what is no query of one name it sends nothing.
"""

import asyncio
import socket

_POLL_S = 0.1
_BURST = 8  # datagrams, until other tasks run
_QUERY_MAX = 512  # bytes, without EDNS
_HEAD_BYTES, _LABEL_MAX, _NAME_MAX = 12, 63, 255
_A_IN = b"\0\1\0\1"  # type, class
_IS_ANSWER = b"\x85\x80"  # authoritative, recursion available, no error
_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4"  # the name asked for; A, IN, 10 s


async def serve(port, address):
    """Answer for ever."""
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])  # noqa: S104  # its own network
            sock.setblocking(False)
            await _answer(sock, address)
        finally:
            sock.close()
        await asyncio.sleep(_POLL_S)


async def _answer(sock, address):
    while True:
        await asyncio.sleep(_POLL_S)
        if not _answer_those_that_wait(sock, address):
            return


def _answer_those_that_wait(sock, address):
    """Whether the socket can be used further.

    After a datagram without a byte, one of the ESP32 receives nothing for ever.
    """
    for _ in range(_BURST):
        try:
            query, sender = sock.recvfrom(_QUERY_MAX)
            if not query:
                return False
            reply = answer(query, address)
            if reply is not None:
                sock.sendto(reply, sender)
        except OSError:  # none waits, or the phone is gone
            break
    return True


def answer(query, address):
    """The reply to a query: `address` for type A, no record for another; or None."""
    end = _end_of_question(query)
    if end is None or query[2] & 0xF8 or query[4:6] != b"\0\1":
        return None
    is_a = query[end - 4 : end] == _A_IN
    counts = b"\0\1\0" + bytes([is_a]) + b"\0\0\0\0"
    reply = query[:2] + _IS_ANSWER + counts + query[_HEAD_BYTES:end]
    if is_a:
        reply += _RECORD + bytes([int(part) for part in address.split(".")])
    return reply


def _end_of_question(query):
    """Where the first question ends, or None where it is none."""
    at = _HEAD_BYTES
    while at < len(query):
        length = query[at]
        at += 1 + length
        if not length:
            is_whole = at + 4 <= len(query) and at - _HEAD_BYTES <= _NAME_MAX
            return at + 4 if is_whole else None
        if length > _LABEL_MAX:
            return None
    return None
