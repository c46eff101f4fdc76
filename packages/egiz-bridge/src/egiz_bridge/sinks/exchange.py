"""One HTTP request and its answer, both bounded: in time, and the answer in size.

A server, or what stands before it, may answer a gigabyte, or a byte a second.
"""

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    SSLError,
)

from egiz_bridge.errors import Unavailable

# Together less than the time after which a part of the bridge counts as stuck.
CONNECT_S = 5.0
SEND_S = ANSWER_S = 10.0
ANSWER_MAX_BYTES = 65_536
_RETRY_AFTER_MAX_S = 600.0
_NOT_CONNECTED = (ConnectTimeoutError, NewConnectionError, SSLError)


class Answer(NamedTuple):
    """Of an answer, what matters; `text` ends after `ANSWER_MAX_BYTES`."""

    status: int
    text: str
    retry_after: str | None

    def retry_after_s(self) -> float:
        """Its header Retry-After (RFC 9110, 10.2.3): seconds, or a date; 0 without."""
        if self.retry_after is None:
            return 0.0
        try:
            if self.retry_after.strip().isdigit():
                wanted = float(self.retry_after)
            else:
                date = parsedate_to_datetime(self.retry_after)
                # Without a zone it is naive; each of HTTP is UTC (RFC 9110, 5.6.7).
                date = date if date.tzinfo else date.replace(tzinfo=UTC)
                wanted = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return 0.0
        return min(max(wanted, 0.0), _RETRY_AFTER_MAX_S)


class Exchange:
    """Keeps a connection to one server open.

    Attributes:
        losses: how many connections the server ended without saying so: it may have
            been started again.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.losses = 0
        self._socket: socket.socket | None = None
        self._pool = _pool(tls)

    def use(self, tls: ssl.SSLContext) -> None:
        """Go on with another context, and so with another connection."""
        self._pool.clear()
        self._pool = _pool(tls)

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send a request.

        Raises:
            Unavailable: no answer came, or not in time.
        """
        try:
            answer = self._pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            self._compare(getattr(answer.connection, "sock", None))
            return _read(answer)
        except (HTTPError, OSError) as error:
            # Something of the request was sent, and it took too long, or was too much.
            is_connected = not isinstance(error, _NOT_CONNECTED)
            raise Unavailable(str(error), may_be_size=is_connected) from error

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _compare(self, used: socket.socket | None) -> None:
        """Note which socket was used; there is none any more if the server said so."""
        if used and used is not self._socket:
            self.losses += self._socket is not None
        self._socket = used


def _pool(tls: ssl.SSLContext) -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=CONNECT_S, read=SEND_S)
    pool = urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=tls)
    pool.pool_classes_by_scheme = {"http": _Http, "https": _Https}
    return pool


def _read(answer: urllib3.BaseHTTPResponse) -> Answer:
    try:
        body = answer.read(ANSWER_MAX_BYTES, decode_content=False)
        is_whole = not answer.read(1, decode_content=False)
        # After less than that, what comes next might be the rest of this answer.
        if is_whole and answer.status >= HTTPStatus.OK:
            answer.release_conn()
    except ValueError as error:  # a chunk of a negative size
        raise Unavailable("the answer is no HTTP") from error
    finally:
        answer.close()
    retry_after = answer.headers.get("Retry-After")
    return Answer(answer.status, body.decode(errors="replace"), retry_after)


class _Reader(io.RawIOBase):
    """Reads until a deadline; a timeout alone begins again at each byte."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__()
        self._socket = connected
        self._raw = connected.makefile("rb", buffering=0)
        self._ends_at_s = time.monotonic() + ANSWER_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends_at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        with suppress(OSError):  # it is closed already
            self._socket.settimeout(SEND_S)  # for the next request
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock))

    def begin(self) -> None:
        """Read the head of the final answer.

        Any number of others may come before it (RFC 9110, 15.2); the base knows 100.
        Taken for the final one, each would shift the answers by one request.
        """
        super().begin()
        while HTTPStatus.SWITCHING_PROTOCOLS < self.status < HTTPStatus.OK:
            self.headers = None  # type: ignore[assignment]  # as before the first one
            super().begin()


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _Http(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _Https(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
