"""A name server that answers what a test says, in the same interpreter; real UDP."""

import asyncio
import random
import socket

A, CNAME, AAAA = 1, 5, 28
POINTER = b"\xc0\x0c"  # to the name of the question


def record(kind, data, name=POINTER, ttl=60):
    """A resource record of class IN."""
    return (
        name
        + kind.to_bytes(2, "big")
        + b"\0\1"
        + ttl.to_bytes(4, "big")
        + len(data).to_bytes(2, "big")
        + data
    )


def reply(query, *records, code=0, flags=0x81, count=None):
    """The reply to a query, with its id and question."""
    count = len(records) if count is None else count
    return (
        query[:2]
        + bytes([flags, 0x80 | code, 0, 1])
        + count.to_bytes(2, "big")
        + bytes(4)
        + query[12:]
        + b"".join(records)
    )


class NameServer:
    """Sends what `answers(query)` gives: datagrams; `queries` is what was received."""

    def __init__(self, answers):
        self._answers = answers
        self.queries = []
        self.socket, self.address = bound()

    async def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:  # nothing yet
                await asyncio.sleep(0.005)
                continue
            self.queries.append(query)
            for datagram in self._answers(query):
                self.socket.sendto(datagram, client)
            self.client = client


def bound():
    """A socket, and its address and port: MicroPython cannot ask for the latter."""
    while True:
        port = 20000 + random.getrandbits(13)  # below the ephemeral ones
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        except OSError:  # in use
            sock.close()
            continue
        return sock, ("127.0.0.1", port)
