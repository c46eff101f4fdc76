"""/metrics, /healthz, /readyz and /devices, for Prometheus and for supervisors."""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

import msgspec
import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from egiz_bridge.log import RateLimitedLog
from egiz_bridge.observe.server import BoundedIpv6Server, BoundedServer, Handler
from egiz_bridge.pipeline.internal import place_of

# What is wrong; nothing if all is well.
Checks = Callable[[], list[str]]

_Start = Callable[..., Any]
_MILLISECONDS = re.compile(r"[0-9]{1,19}")

_log = structlog.get_logger()


class HttpServer:
    """Serves in a thread of its own from the moment it is made.

    Raises:
        OSError: if the address is in use or is not this machine's.
    """

    def __init__(self, host: str, port: int, app: "App") -> None:
        server = BoundedIpv6Server if ":" in host else BoundedServer
        self._server = make_server(host, port, app, server, handler_class=Handler)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True
        ).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class App:
    """What is served: metrics, checks by path, and the devices."""

    def __init__(
        self,
        registry: CollectorRegistry,
        checks: dict[str, Checks],
        devices: Callable[[int], Any],
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._checks = checks
        self._devices = devices
        self._limited_log = RateLimitedLog()

    def __call__(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        """WSGI; whatever a part raises is an answer, and now and then a line of log."""
        try:
            return self._answer(environ, start)
        except Exception as error:  # noqa: BLE001  # of a library, for an odd request
            self._log_failed(error)
            headers = [("Content-Type", "text/plain")]
            start("500 Internal Server Error", headers, sys.exc_info())
            return [b"internal error: see the log of the bridge\n"]

    def _answer(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return cast("Iterable[bytes]", self._metrics(environ, start))
        if path in self._checks:
            problems = self._checks[path]()
            body = json.dumps({"ok": not problems, "problems": problems})
            status = "503 Service Unavailable" if problems else "200 OK"
            start(status, [("Content-Type", "application/json")])
            return [body.encode() + b"\n"]
        if path == "/devices":
            return self._answer_devices(environ.get("QUERY_STRING", ""), start)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics, /healthz, /readyz or /devices?since=MS\n"]

    def _answer_devices(self, query: str, start: _Start) -> Iterable[bytes]:
        since = parse_qs(query).get("since", ["0"])[-1]
        if not _MILLISECONDS.fullmatch(since):
            start("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"since: must be milliseconds since 1970\n"]
        # Of ten thousand devices, the library's encoder would hold up the main loop.
        body = msgspec.json.encode(self._devices(int(since)))
        start("200 OK", [("Content-Type", "application/json")])
        return [body]

    def _log_failed(self, error: Exception) -> None:
        if times := self._limited_log.due("failed"):
            _log.error(
                "internal error: no answer to an HTTP request; please report this;"
                " further ones are counted",
                why=f"{type(error).__name__} at {place_of(error)}",
                times=times,
            )
