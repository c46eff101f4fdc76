"""A proxy in the environment, as in many a factory; no program of ours may ask it."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

_OWN = "localhost,127.0.0.1,::1"


@pytest.fixture(autouse=True, scope="session")
def _servers_of_tests_need_no_proxy() -> None:
    """Whatever the environment says: they are on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        before = os.environ.get(name)
        os.environ[name] = f"{before},{_OWN}" if before else _OWN


@pytest.fixture
def http_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What it was asked for; it refuses, as one does that must not reach inside."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # its name there
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_error(403)

        do_POST = do_GET  # noqa: N815  # its name there

        def log_message(self, *_: object) -> None:
            """Tests look at what was asked."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield asked
        server.shutdown()
