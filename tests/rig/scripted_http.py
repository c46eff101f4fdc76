"""A database with answers that a test decides, such as errors that are rare."""

import contextlib
import functools
import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, NamedTuple, Protocol

from rig.process import free_port


class Request(NamedTuple):
    """One write; `lines` are those of its body, uncompressed."""

    path: str
    headers: dict[str, str]
    lines: list[bytes]


class Answer(NamedTuple):
    """The answer to a write; with `hangs`, none is sent until the server closes."""

    status: int = 204
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    hangs: bool = False


class Script(Protocol):
    """Decides the answer to each request."""

    def __call__(self, request: Request, /) -> Answer: ...


class ScriptedHttp:
    """Keeps the lines of every write that it answers with 204."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.lines: set[bytes] = set()
        self.answer: Script = lambda _: Answer()
        self.port = free_port()
        self._is_closing = threading.Event()
        handler = functools.partial(_Handler, self._respond)
        self._server = ThreadingHTTPServer((self.host, self.port), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """End, hanging answers included."""
        self._is_closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = self.answer(request)
        if answer.hangs:
            self._is_closing.wait()
        if answer.status == Answer().status:
            self.lines.update(request.lines)
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, respond: Script, *arguments: Any) -> None:
        self._respond = respond
        super().__init__(*arguments)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client was killed
            super().handle()

    def do_POST(self) -> None:  # its name there
        body = _body(self.rfile, self.headers.get("Content-Length"))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.title(): value for name, value in self.headers.items()}
        answer = self._respond(Request(self.path, headers, body.splitlines()))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.text)))
        self.end_headers()
        self.wfile.write(answer.text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Tests look at `requests`."""


def _body(stream: BufferedIOBase, length: str | None) -> bytes:
    """Of a request; without a length, it comes in chunks (RFC 9112, 7.1)."""
    if length is not None:
        return stream.read(int(length))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
