"""`egiz-edge serve`: releases and their key set over HTTP, for bench and small plants.

Any web server does the same. This one gives out `*.egz` and `keys` alone, so that a
private key in its directory stays there.
"""

import os
import queue
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO

from egiz_edge_tools.errors import ReleaseError
from egiz_edge_tools.keys import SET
from egiz_edge_tools.release import ENDING

_SILENCE_S = 20.0  # a client that neither sends nor reads for so long is left
_CHUNK = 16 * 1024
_SHOWN = 80  # characters of what a client asked for
_RANGE = re.compile(r"bytes=(\d{1,12})-(\d{0,12})", re.ASCII)


class Server(socketserver.ThreadingTCPServer):
    """Serves a directory. `lines()` has what happens.

    Args:
        directory: of the releases.
        address: host and port; port 0 is a free one, see `server_address`.
        context: for HTTPS, or None.

    Raises:
        OSError: if it cannot listen there.
    """

    allow_reuse_address = True  # a restart does not wait for old connections
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        directory: Path,
        address: tuple[str, int],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.directory, self._context = directory, context
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it serves."""
        host, port = self.socket.getsockname()[:2]
        return f"{'https' if self._context else 'http'}://{host}:{port}/"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """It serves, in a thread, until the end of this."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def say(self, line: str) -> None:
        """Add a line to those that `lines` gives."""
        self._lines.put(line)

    def lines(self) -> Iterator[str]:
        """Each line, for ever."""
        while True:
            yield self._lines.get()

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection; the handshake of TLS is left to its own thread."""
        connection, client = super().get_request()
        if self._context:
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, client

    def handle_error(self, request: object, client_address: object) -> None:
        """Of a thread; what a client does is no reason for a traceback."""
        del request
        error = sys.exc_info()[1]
        host = client_address[0] if isinstance(client_address, tuple) else ""
        self.say(f"{host}  broke off: {error or type(error).__name__}")


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For HTTPS, TLS 1.2 or newer, which is what stock MicroPython has.

    Raises:
        ReleaseError: if a file is damaged, or the two do not fit.
        OSError: if one cannot be read.
    """
    for path in (certificate, key):
        path.read_bytes()  # an error of ssl names no file
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A passphrase would be asked for at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise ReleaseError(
            f"{certificate} and {key}: not a certificate in PEM and its key without a"
            f" passphrase ({error.reason or error})"
        ) from None
    return context


class _Handler(BaseHTTPRequestHandler):
    """One request of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "egiz-edge", ""
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def log_error(self, *text: object) -> None:
        """Of a request that is none; all others are said when they are answered."""
        wording, *values = text
        self._say("no request:", ascii(str(wording) % tuple(values))[1:-1][:_SHOWN])

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Said at the end, with what was sent."""

    def _answer(self, *, has_body: bool) -> None:
        self.close_connection = True
        name = self.path.partition("?")[0].removeprefix("/")
        shown = f"{self.command} {ascii(name)[1:-1][:_SHOWN]}"
        try:
            file = self._open(name)
        except (OSError, ValueError):  # the latter of a NUL in a name
            self._head(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            self._say(shown, "404")
            return
        with file:
            self._send(file, shown, has_body=has_body)

    def _open(self, name: str) -> BinaryIO:
        is_ours = name == SET or (name.endswith(ENDING) and name != ENDING)
        if not is_ours or "/" in name or name.startswith("."):
            raise FileNotFoundError(name)
        return (self.server.directory / name).open("rb")

    def _send(self, file: BinaryIO, shown: str, *, has_body: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        begin, end = self._range(size)
        if begin >= end and begin:
            headers = {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
            self._say(shown, "416, nothing is there")
            return
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - begin),
            "Accept-Ranges": "bytes",
        }
        is_part = end - begin < size
        if is_part:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        status = HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK
        self._head(status, headers)
        file.seek(begin)
        if not has_body:
            self._say(shown, str(int(status)))
            return
        sent = self._copy(file, end - begin)
        self._say(shown, f"{int(status)}, {sent:,} bytes from {begin:,} of {size:,}")

    def _range(self, size: int) -> tuple[int, int]:
        """First byte and end of what is asked for; all of it where that is unclear."""
        found = _RANGE.fullmatch(self.headers.get("Range", "").strip())
        if found is None:
            return 0, size
        begin = int(found[1])
        end = min(int(found[2]) + 1, size) if found[2] else size
        if begin >= size:
            return max(begin, 1), 0  # nothing is there
        return (begin, end) if begin < end else (0, size)

    def _copy(self, file: BinaryIO, size: int) -> int:
        sent = 0
        try:
            while sent < size and (chunk := file.read(min(_CHUNK, size - sent))):
                self.wfile.write(chunk)
                sent += len(chunk)
        except OSError:
            pass  # the line says how far it came
        return sent

    def _head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _say(self, what: str, result: str) -> None:
        clock = self.log_date_time_string().partition(" ")[2]
        self.server.say(f"{clock}  {self.client_address[0]}  {what}  {result}")
