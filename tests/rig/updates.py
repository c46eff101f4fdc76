"""A server of releases that misbehaves as a test orders, with real sockets."""

import contextlib
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

Behave = Callable[[socket.socket, bytes], None]
_ENDLESS_S = 0.005  # between two pieces of what has no end


class UpdateServer(socketserver.ThreadingTCPServer):
    """Answers each request as `behave` does, which gets the socket and the request.

    Attributes:
        requests: the head of each.
        is_over: set when it closes.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, behave: Behave, context: ssl.SSLContext | None = None) -> None:
        self.behave, self.context = behave, context
        self.requests: list[bytes] = []
        self.is_over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def directory(self) -> str:
        """URL of its directory: what an order has."""
        return self.url.rpartition("/")[0]

    @property
    def url(self) -> str:
        """Of the file that it serves."""
        scheme, host = ("https", "localhost") if self.context else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.server_address[1]}/1.egz"

    def close(self) -> None:
        """End, with all that hangs."""
        self.is_over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no fault here."""


class _Handler(socketserver.BaseRequestHandler):
    server: UpdateServer

    def handle(self) -> None:
        connection = self.request
        if self.server.context:
            connection = self.server.context.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            head += (piece := connection.recv(4096))
            if not piece:
                return
        self.server.requests.append(head)
        with contextlib.suppress(OSError):
            self.server.behave(connection, head)
        with contextlib.suppress(OSError):
            connection.close()


def first_byte(head: bytes) -> int:
    """Where the range of a request begins; 0 without one."""
    found = re.search(rb"\r\nRange: bytes=(\d+)-\r\n", head)
    return int(found[1]) if found else 0


def path_of(head: bytes) -> str:
    """What a request asks for."""
    return head.split(b" ")[1].decode()


def file(
    content: bytes, *, has_range: bool = True, cut_after: int = 0, rate: int = 0
) -> Behave:
    """A sound answer.

    Args:
        content: of the file.
        has_range: whether a part may be asked for.
        cut_after: the answer ends after so many bytes of the body; 0: with the body.
        rate: bytes in a second; 0: as fast as it goes.
    """

    def behave(connection: socket.socket, head: bytes) -> None:
        begin = first_byte(head) if has_range else 0
        body = content[begin:]
        status = "206 Partial Content" if begin else "200 OK"
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        if begin:
            lines.append(
                f"Content-Range: bytes {begin}-{len(content) - 1}/{len(content)}"
            )
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        body = body[: cut_after or len(body)]
        step = rate // 10 or len(body) or 1
        for at in range(0, len(body), step):
            connection.sendall(body[at : at + step])
            time.sleep(0.1 if rate else 0)

    return behave


def words(*pieces: bytes) -> Behave:
    """These bytes, whatever was asked for."""

    def behave(connection: socket.socket, head: bytes) -> None:
        del head
        for piece in pieces:
            connection.sendall(piece)

    return behave


def endless(
    begin: bytes,
    piece: bytes,
    over: Callable[[], threading.Event],
    every_s: float = _ENDLESS_S,
) -> Behave:
    """These bytes, and then the same ones again and again."""

    def behave(connection: socket.socket, head: bytes) -> None:
        del head
        connection.sendall(begin)
        while not over().wait(every_s):
            connection.sendall(piece)

    return behave
