"""How soon: from publishing until the database has stored it, under a steady load.

A probe among the devices sends 20 times a second, with the time of sending. What stands
between peer and database hands writes on, and looks for the probe in those that the
database has answered with 204. (VictoriaMetrics shows new points once a second, whoever
writes them; that is not counted.)
"""

import contextlib
import re
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import urllib3
from rig.load import PROBE

from bridge.drain import finished
from bridge.peers import ENDLESS, Peer
from bridge.shared import cpu_s, fresh_rig

_WARM_UP_S = 3.0
_PERCENTILES = 100
# Telegraf writes nanoseconds, the others milliseconds: 13 digits are enough.
_PROBE_LINE = re.compile(
    rb"device_id=%b\b.* (\d{13})\d*$" % PROBE.encode(), re.MULTILINE
)


class Latency(NamedTuple):
    """Seconds."""

    p50_s: float
    p99_s: float


class Loaded(NamedTuple):
    """A peer under a steady load: seconds, and CPU seconds a second."""

    p50_s: float
    p99_s: float
    cpu_share: float


class Gauge:
    """Hands writes on to a database; keeps how old each probe was at the answer."""

    def __init__(self, database: str) -> None:
        self.url = ""
        self.ages_s: list[float] = []
        self._database = database
        self._pool = urllib3.PoolManager()

    def serve(self) -> ThreadingHTTPServer:
        """Start; the caller shuts it down."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _hand_on(self, path: str, body: bytes) -> int:
        answer = self._pool.request("POST", self._database + path, body=body)
        now_s = time.time()
        for sent_ms in _PROBE_LINE.findall(body):
            self.ages_s.append(now_s - int(sent_ms) / 1000)
        return answer.status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hand_on = self._hand_on

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the peer was killed
                    super().handle()

            def do_POST(self) -> None:  # its name there
                body = b"".join(self._chunks())
                self.send_response(hand_on(self.path, body))
                self.end_headers()

            def _chunks(self) -> Iterator[bytes]:
                if length := self.headers["Content-Length"]:
                    yield self.rfile.read(int(length))
                    return
                while size := int(self.rfile.readline(), 16):  # chunked, as Go does
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
                pass

        return Handler


def measure(peer: Peer, rate: int, seconds: float) -> Loaded:
    """At so many messages a second."""
    with fresh_rig() as rig:
        gauge = Gauge(rig.database.url)
        server = gauge.serve()
        finished(peer.start(rig, 0))
        running = peer.start(rig._replace(database_url=gauge.url), ENDLESS)
        time.sleep(_WARM_UP_S)
        before_s = cpu_s(running.process.pid)
        load = rig.load(rate, seconds)
        load.communicate()
        rig.stored_at_last(1, 1)
        share = (cpu_s(running.process.pid) - before_s) / seconds
        running.process.kill()
        running.process.wait()
        server.shutdown()
    return Loaded(*percentiles(gauge), share)


def percentiles(gauge: Gauge) -> Latency:
    """Of the probe's messages so far."""
    shares = statistics.quantiles(gauge.ages_s, n=_PERCENTILES)
    return Latency(shares[_PERCENTILES // 2 - 1], shares[-1])
