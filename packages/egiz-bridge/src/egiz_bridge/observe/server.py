"""An HTTP server that nothing from outside can make large: for http.py.

A connection has one thread, a deadline and one request. There are `CONNECTIONS_MAX` at
most: one more takes the place of the oldest that has not asked for anything yet.
"""

import errno
import io
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

import structlog
from prometheus_client.exposition import ThreadingWSGIServer

from egiz_bridge.log import RateLimitedLog

CONNECTIONS_MAX = 8
# From the connection until its answer is sent, however slowly the other side reads.
DEADLINE_S = 10.0
# How long one that came while all were in use waits for its turn.
_TURN_S = 1.0
# Without file descriptors accept() fails at once, and would be called again at once.
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_FILES_PAUSE_S = 0.5

_log = structlog.get_logger()


class Handler(WSGIRequestHandler):
    """Marks its connection as one that is answered, and logs nothing."""

    server: "BoundedServer"

    def parse_request(self) -> bool:
        """Read the head of the request."""
        is_request = super().parse_request()
        if is_request:
            self.server.is_answering(self.connection)
        return is_request

    def handle(self) -> None:
        """Answer; what the library would print is a line of the log, now and then."""
        self._errors = io.StringIO()
        super().handle()
        if lines := self._errors.getvalue().splitlines():
            self.server.log_refused(lines[-1])

    def get_stderr(self) -> io.StringIO:
        """Where tracebacks go."""
        return self._errors

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Probes come every few seconds: they are no news."""


class BoundedServer(ThreadingWSGIServer):
    """Serves at most `CONNECTIONS_MAX` connections, each for `DEADLINE_S` at most."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(CONNECTIONS_MAX)
        self._begun_s: dict[socket.socket, float] = {}
        self._idle: list[socket.socket] = []  # the oldest first
        self._limited_log = RateLimitedLog()
        super().__init__(*args, **kwargs)

    def is_answering(self, connection: socket.socket) -> None:
        """It has sent its request: it is not closed before its deadline."""
        with self._lock:
            if connection in self._idle:
                self._idle.remove(connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _NO_FILES:
                self.log_refused(_described(error))
                time.sleep(_NO_FILES_PAUSE_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is a thread for it now; if not, it is closed."""
        del client_address
        if not self._turns.acquire(blocking=False):
            self._close_oldest_idle()
            if not self._turns.acquire(timeout=_TURN_S):
                return False
        with self._lock:
            self._begun_s[request] = time.monotonic()
            self._idle.append(request)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give it a thread; without one, `handle_error` follows."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the machine, or a limit of the service, has no more
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer it, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def service_actions(self) -> None:
        """Close what is past its deadline; called twice a second and at each one."""
        before_s = time.monotonic() - DEADLINE_S
        with self._lock:
            for connection, begun_s in self._begun_s.items():
                if begun_s < before_s:
                    _shut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news; anything else is logged, and rarely."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.log_refused(_described(error))

    def log_refused(self, why: str) -> None:
        """Log that a request has no answer, at powers of two."""
        if times := self._limited_log.due("refused"):
            _log.warning(
                "HTTP request not answered; further ones are counted",
                why=why,
                times=times,
            )

    def _close_oldest_idle(self) -> None:
        with self._lock:
            if self._idle:
                _shut(self._idle.pop(0))

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            known = self._begun_s.pop(connection, None) is not None
            if connection in self._idle:
                self._idle.remove(connection)
        if known:
            self._turns.release()


class BoundedIpv6Server(BoundedServer):
    """The same on an IPv6 address."""

    address_family = socket.AF_INET6


def _shut(connection: socket.socket) -> None:
    """End what its thread waits for; the thread closes it."""
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


def _described(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
