"""InfluxDB over HTTP: /api/v2/write (InfluxDB 2 and 3, VictoriaMetrics) or 1's /write.

The two differ in where they are and how they know us; the body is the same.
"""

import ipaddress
import zlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from egiz_bridge.batch import Row
from egiz_bridge.config.secret import Secret
from egiz_bridge.config.tables import Influxdb
from egiz_bridge.errors import BridgeError, ConfigError, Rejected, Unavailable

TIMEOUT_S = 10.0
_RETRY_AFTER_MAX_S = 600.0
_DETAIL_MAX = 300  # characters of an answer that are worth a log line

# 400 and 422: some lines are bad; 413: too many at once. Everything else may pass:
# rights and databases can be granted, servers come back.
_REJECTIONS = frozenset({400, 413, 422})

_HINTS = {
    401: " (is influxdb.token_file right?)",
    403: " (may the token write to this bucket or database?)",
    404: " (does the bucket or database exist?)",
}

# Level 1 makes a sixth of the bytes; level 9 a seventh, and needs twenty times longer.
_GZIP_LEVEL, _GZIP_FORMAT = 1, 31


class InfluxDb:
    """Writes to one bucket or database."""

    def __init__(self, table: Influxdb) -> None:
        self.name = table.name
        self._table = table
        self._secret = Secret("influxdb.token_file", table.token_file)
        self._url = _url_of(table)
        self._is_remote = not _is_loopback(str(table.url.host))
        self._pool = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)

    def write(self, rows: Sequence[Row]) -> None:
        """POST the rows as line protocol, precision ms."""
        body = b"\n".join([row.line for row in rows])
        headers = self._headers()
        if self._is_remote and body:
            compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
            body = compressor.compress(body) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
        try:
            answer = self._pool.request(
                "POST", self._url, body=body, headers=headers, redirect=False
            )
        except (HTTPError, OSError) as error:
            raise Unavailable(str(error)) from error
        # A proxy or a portal that answers 200 has stored nothing.
        if answer.status != HTTPStatus.NO_CONTENT:
            text = answer.data.decode(errors="replace")
            raise _failure(answer.status, text, answer.headers.get("Retry-After"))

    def probe(self) -> None:
        """Write nothing: the answer says whether something could be written."""
        with suppress(
            Rejected
        ):  # an empty body is refused; server and rights were accepted
            self.write(())

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _headers(self) -> dict[str, str]:
        try:
            secret = self._secret.read()
        except ConfigError as error:
            raise Unavailable(str(error)) from error
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if secret and self._table.api == "v1":
            headers |= urllib3.make_headers(basic_auth=secret)
        elif secret:
            headers["Authorization"] = f"Token {secret}"
        return headers


def _url_of(table: Influxdb) -> str:
    base = str(table.url).rstrip("/")
    if table.api == "v1":
        return f"{base}/write?" + urlencode({"db": table.database, "precision": "ms"})
    query = {"org": table.org, "bucket": table.bucket, "precision": "ms"}
    return f"{base}/api/v2/write?" + urlencode(query)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _failure(status: int, answer: str, retry_after: str | None) -> BridgeError:
    """What an answer other than 204 means for the rows that were sent."""
    message = f"HTTP {status}{_HINTS.get(status, '')}: {answer.strip()[:_DETAIL_MAX]}"
    if status in _REJECTIONS:
        return Rejected(message)
    return Unavailable(message, _seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header (RFC 9110, 10.2.3): seconds, or a date."""
    if retry_after is None:
        return 0.0
    try:
        if retry_after.strip().isdigit():
            wanted = float(retry_after)
        else:
            wait = parsedate_to_datetime(retry_after) - datetime.now(UTC)
            wanted = wait.total_seconds()
    except ValueError:
        return 0.0
    return min(max(wanted, 0.0), _RETRY_AFTER_MAX_S)
