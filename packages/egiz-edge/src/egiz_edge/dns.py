"""The IPv4 address of a name, from the name servers of the network, over UDP.

A stub resolver (RFC 1035): it asks a recursive server and follows nothing itself, so
that no reply makes it loop. In memory only during a look-up.
"""

import asyncio
import errno
import os
import socket

WAITS_S = (1, 2)  # for a reply, in the first round of the servers and in the second
SERVERS_MAX = 3
MULTICAST = (("224.0.0.251", 5353),)  # for names in .local (RFC 6762, 5.1)

_POLL_S = 0.05
_REPLY_MAX = 512  # bytes, without EDNS
_HEAD_BYTES = 12
_NAME_MAX, _LABEL_MAX = 253, 63
_RECURSIVE = b"\1\0\0\1\0\0\0\0\0\0"  # recursion desired, one question
A_IN = b"\0\1\0\1"  # type, class
_A_FLUSH = b"\0\1\x80\1"  # as a host in .local may write it (RFC 6762, 10.2)
_LOCAL = b"\5local\0" + A_IN  # how a question for multicast DNS ends
_RECORDS_MAX = 32
_UNKNOWN = 3  # NXDOMAIN


class _UnknownError(OSError):
    """The server is sure that there is no such name."""


async def look_up(host, servers):
    """The first address of a host as text; raises OSError, which names the host.

    Args:
        host: a name, or an address, which needs no server.
        servers: pairs of an address and a port.
    """
    if is_address(host):
        return host
    question = _question(host)
    if question.endswith(_LOCAL):
        servers = MULTICAST
    reason = "no answer of a name server"
    if not servers:
        reason = "the network gave no name server"
    for wait_s in WAITS_S:
        for server in servers[:SERVERS_MAX]:
            try:
                return await _ask(server, question, wait_s)
            except _UnknownError:
                raise OSError(host + ": unknown to the name server")
            except OSError as error:
                if type(error.args[0]) is str:  # else it cannot be reached
                    reason = error.args[0]
    raise OSError(host + ": " + reason)


def parse(reply, query):
    """The first address of a reply as text; None if it is not the reply to `query`.

    Raises OSError where the reply has none.
    """
    end = len(query)
    # Whoever guesses the id must still send from the address of the server. Some
    # servers repeat the question in letters of their own.
    question = reply[_HEAD_BYTES:end].lower()
    if reply[:2] != query[:2] or question != query[_HEAD_BYTES:]:
        return None
    if reply[2] & 0xF8 != 0x80 or reply[4:6] != query[4:6]:
        return None
    code = reply[3] & 0x0F
    if code == _UNKNOWN:
        raise _UnknownError
    if code:
        raise OSError("the name server failed, code %d" % code)
    data = _first_a(reply, end, min(reply[6] << 8 | reply[7], _RECORDS_MAX))
    if data is None or not any(data):  # 0.0.0.0 is that of a name that is blocked
        raise OSError("has no IPv4 address")
    return "%d.%d.%d.%d" % tuple(data)


async def _ask(server, question, wait_s):
    query = os.urandom(2) + _RECURSIVE + question
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        where = socket.getaddrinfo(server[0], server[1])[0][-1]
        if server in MULTICAST:  # the host of that name answers, whatever its address
            sock.sendto(query, where)
        else:
            sock.connect(where)  # so that datagrams of other hosts are not received
            sock.send(query)
        for _ in range(int(wait_s / _POLL_S)):
            await asyncio.sleep(_POLL_S)
            found = _received(sock, query)
            if found is not None:
                return found
    finally:
        sock.close()
    raise OSError("no answer of a name server")


def _received(sock, query):
    """The address in what has arrived, or None."""
    while True:
        try:
            reply = sock.recv(_REPLY_MAX)
        except OSError as error:
            if error.args[0] == errno.EAGAIN:
                return None
            raise
        # After one without a byte, a socket of the ESP32 gives no other for ever
        # (SOCKET_STATE_PEER_CLOSED in its modsocket.c): the next query has a new one.
        found = parse(reply, query) if reply else None
        if found is not None or not reply:
            return found


def _first_a(reply, at, count):
    """The four bytes of the first address among `count` records at `at`, or None."""
    for _ in range(count):
        at = _after_name(reply, at)
        length = int.from_bytes(reply[at + 8 : at + 10], "big")
        data = reply[at + 10 : at + 10 + length]
        is_a = reply[at : at + 4] in (A_IN, _A_FLUSH)
        if is_a and len(data) == length == 4:
            return data
        at += 10 + length
    return None


def _after_name(reply, at):
    """Where a name ends; what a pointer points to is not read."""
    while at < len(reply):
        length = reply[at]
        if length > _LABEL_MAX:
            return at + 2
        at += 1 + length
        if not length:
            break
    return at


def _question(host):
    """In small letters: some servers of a local network know no others."""
    labels = host.encode().lower().split(b".")
    if not labels[-1] and len(labels) > 1:  # the root may be written
        labels.pop()
    name = b"".join([bytes([len(label) & 0xFF]) + label for label in labels])
    if len(name) > _NAME_MAX + 1 or not all(0 < len(x) <= _LABEL_MAX for x in labels):
        raise OSError("%s: not a host name" % host[:_LABEL_MAX])
    return name + b"\0" + A_IN


def is_address(host):
    """Whether it is an IPv4 address.

    999.1.1.1 is none: `getaddrinfo` would look it up, and block all tasks meanwhile.
    """
    parts = host.split(".") if type(host) is str else ()
    return len(parts) == 4 and all(
        part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts
    )
