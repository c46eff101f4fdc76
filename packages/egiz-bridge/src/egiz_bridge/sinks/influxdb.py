"""InfluxDB over HTTP: /api/v2/write (InfluxDB 2 and 3, VictoriaMetrics) or 1's /write.

The two differ in where they are and how they know us; the body is the same.
"""

import base64
import ipaddress
import zlib
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from egiz_bridge.batch import Row
from egiz_bridge.config.secret import Secret
from egiz_bridge.config.tables import HttpUrl
from egiz_bridge.config.tls import TlsFiles
from egiz_bridge.errors import (
    REJECTED,
    BridgeError,
    ConfigError,
    Refused,
    Rejected,
    Unavailable,
)
from egiz_bridge.sinks.answers import rejection, shown
from egiz_bridge.sinks.exchange import Answer, Exchange
from egiz_bridge.sinks.rewriting import RewritingSink
from egiz_bridge.sinks.sink import Sink, SinkTable

# 400 and 422: some lines are bad, or the request is. Everything else may pass:
# rights and databases can be granted, servers come back.
_REJECTIONS = frozenset({400, 422})
_TOO_LARGE = 413
_TOO_SLOW, _SERVER_ERROR = 408, 500
# InfluxDB 2.0 answered 500 to points beyond retention, as QuestDB did to some types.
_REJECTIONS_IF_SURE = frozenset({500})
# InfluxDB 3 answered 201 when it had written some of the lines.
_REJECTIONS_IF_ABOUT_ROWS = frozenset({201})

_HINTS = {
    401: " (is influxdb.token_file right?)",
    403: " (may the token write to this bucket or database?)",
    404: " (does the bucket or database exist?)",
}

# The words of OpenSSL, and which setting to look at.
_TLS_HINTS = {
    "CERTIFICATE_VERIFY_FAILED": " (is influxdb.ca_file right?)",
    "WRONG_VERSION_NUMBER": " (does this port speak TLS, or is http:// meant?)",
    "CERTIFICATE_REQUIRED": " (the server wants one: set influxdb.certificate_file)",
    "EOF occurred": " (the server closed: is influxdb.certificate_file what it wants?)",
    "ALERT": " (is influxdb.certificate_file what the server wants?)",
}

# No field, so that no database stores it. One that reads lines either leaves it out or
# says that it is none, and then the request was otherwise right.
_NO_ROW = b"probe"

# Level 1 makes a sixth of the bytes; level 9 a seventh, and needs twenty times longer.
_GZIP_LEVEL, _GZIP_FORMAT = 1, 31


class InfluxdbTable(SinkTable):
    """InfluxDB, or VictoriaMetrics. Give the table and it is written to.

    Several, each with a name of its own, are [[influxdb]] tables.
    """

    key: ClassVar[str] = "influxdb"
    where: ClassVar[str] = "url"
    is_repeatable: ClassVar[bool] = True

    name: str = Field(
        default="influxdb",
        pattern=r"\A[a-z0-9_-]{1,32}\z",
        description="in metrics, logs and the spool; needed if there are several",
    )
    url: HttpUrl = Field(description="the server, as http://host:8086")
    api: Literal["v2", "v1"] = Field(
        default="v2",
        description="v2 (InfluxDB 2 and 3, VictoriaMetrics) or v1 (InfluxDB 1)",
    )
    org: str = Field(default="", description="organisation (v2)")
    bucket: str = Field(default="", description="bucket (v2, required)")
    database: str = Field(default="", description="database (v1, required)")
    token_file: Path | None = Field(
        default=None,
        description="file that holds the token (v2), or user:password (v1)",
    )

    retention_policy: str = Field(
        default="", description="of the database (v1); without it, its default one"
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the server's certificate; "
        "without it, those that this machine trusts",
    )
    certificate_file: Path | None = Field(
        default=None, description="PEM file that this bridge shows to the server"
    )
    key_file: Path | None = Field(
        default=None,
        description="PEM file of its private key, if that is not in certificate_file",
    )
    rewrite_seconds: int = Field(
        default=20,
        ge=0,
        description="after an outage, write again what was written in so many seconds "
        "before, which VictoriaMetrics acknowledges up to 10 s before it stores; it "
        "costs up to 8 MiB of memory; 0 writes nothing again",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        needed = "bucket" if self.api == "v2" else "database"
        if not getattr(self, needed):
            raise ValueError(f"influxdb.{needed}: needed with api = {self.api!r}")
        if self.retention_policy and self.api != "v1":
            raise ValueError("influxdb.retention_policy: is for api = 'v1'")
        if self.key_file and not self.certificate_file:
            raise ValueError("influxdb.certificate_file: needed with influxdb.key_file")
        for key in ("ca_file", "certificate_file"):
            if getattr(self, key) and self.url.scheme != "https":
                raise ValueError(f"influxdb.{key}: is for TLS; url must be https://")
        return self

    @property
    def sink_name(self) -> str:
        """Its `name`."""
        return self.name

    def open(self) -> Sink:
        """The sink; it connects with the first write.

        Raises:
            ConfigError: a file of the token or of TLS cannot be used.
        """
        sink = InfluxdbSink(self)
        if not self.rewrite_seconds:
            return sink
        return RewritingSink(sink, self.rewrite_seconds)


class InfluxdbSink:
    """Writes to one bucket or database."""

    def __init__(self, table: InfluxdbTable) -> None:
        self.name = table.name
        self._table = table
        self._secret = Secret("influxdb.token_file", table.token_file)
        self._secret_sent = ""
        self._url = _url_of(table)
        self._is_remote = not _is_loopback(str(table.url.host))
        self._tls = TlsFiles(
            "influxdb", table.ca_file, table.certificate_file, table.key_file
        )
        self._tls_stamp = self._tls.stamp()
        self._is_tls = table.url.scheme == "https"
        self._exchange = Exchange(self._tls.context())

    @property
    def losses(self) -> int:
        """How many connections the server ended without saying so."""
        return self._exchange.losses

    def write(self, rows: Sequence[Row]) -> None:
        """POST the rows as line protocol, precision ms."""
        if failure := self._post([row.line for row in rows]):
            raise failure

    def probe(self) -> None:
        """Write nothing: the answer says whether something could be written."""
        failure = self._post([])
        if isinstance(failure, Rejected):
            failure = self._post([_NO_ROW])
        if isinstance(failure, Rejected):
            if failure.is_about_rows:
                return
            raise Refused(f"{failure} (are url, api, org, bucket, database right?)")
        if failure:
            raise failure

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _post(self, lines: Sequence[bytes]) -> BridgeError | None:
        """Send lines; gives what went wrong."""
        body = b"\n".join(lines)
        headers = self._headers()
        if self._is_remote and body:
            compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
            body = compressor.compress(body) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
        self._use_replaced_files()
        answer = self._answer(body, headers)
        # A proxy or a portal that answers 200 has stored nothing.
        if answer.status == HTTPStatus.NO_CONTENT:
            return None
        return _failure(answer, lines, _forms(self._secret_sent))

    def _answer(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            return self._exchange.post(self._url, body, headers)
        except Unavailable as error:
            for words, hint in _TLS_HINTS.items():
                if self._is_tls and words in str(error):
                    message = f"{error}{hint}"
                    raise Unavailable(message, may_be_size=error.may_be_size) from error
            raise

    def _use_replaced_files(self) -> None:
        if (stamp := self._tls.stamp()) == self._tls_stamp:
            return
        try:
            self._exchange.use(self._tls.context())
        except ConfigError as error:
            raise Unavailable(str(error)) from error
        self._tls_stamp = stamp

    def _headers(self) -> dict[str, str]:
        try:
            secret = self._secret.read()
        except ConfigError as error:
            raise Unavailable(str(error)) from error
        self._secret_sent = secret or ""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if secret and self._table.api == "v1":
            known = base64.b64encode(secret.encode()).decode()
            headers["Authorization"] = f"Basic {known}"
        elif secret:
            # A header is sent as Latin-1: this makes it the bytes of UTF-8.
            headers["Authorization"] = f"Token {secret}".encode().decode("latin-1")
        return headers


def _url_of(table: InfluxdbTable) -> str:
    base = str(table.url).rstrip("/")
    if table.api == "v1":
        query = {"db": table.database, "precision": "ms"}
        if table.retention_policy:
            query["rp"] = table.retention_policy
        return f"{base}/write?" + urlencode(query)
    query = {"org": table.org, "bucket": table.bucket, "precision": "ms"}
    return f"{base}/api/v2/write?" + urlencode(query)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _failure(
    answer: Answer, lines: Sequence[bytes], secrets: Sequence[str]
) -> BridgeError:
    """What an answer other than 204 means for the lines that were sent."""
    status, text, _ = answer
    message = f"HTTP {status}{_HINTS.get(status, '')}: {shown(text, secrets)}"
    if status == _TOO_LARGE:
        return Rejected(message, is_about_rows=False, is_too_large=True)
    rejected = rejection(message, text, lines)
    if _is_rejection(status, rejected):
        return rejected
    # One that limits requests wants fewer of them, not smaller ones, and says when.
    is_slow = status == _TOO_SLOW or status >= _SERVER_ERROR
    may_be_size = is_slow and not answer.retry_after
    return Unavailable(message, answer.retry_after_s(), may_be_size=may_be_size)


def _is_rejection(status: int, said: Rejected) -> bool:
    if status in _REJECTIONS_IF_SURE:
        # "partial write" alone is said of a cluster, too, of which a part is away.
        return bool(said.blames) or said.reason != REJECTED
    if status in _REJECTIONS_IF_ABOUT_ROWS:
        return said.is_about_rows
    return status in _REJECTIONS


def _forms(secret: str) -> list[str]:
    """A secret as a server may repeat it: whole, its password, and as it was sent."""
    encoded = base64.b64encode(secret.encode()).decode()
    password = secret.partition(":")[2]
    forms = {secret, quote(secret, safe=""), encoded, password, quote(password)}
    return sorted((one for one in forms if one), key=len, reverse=True)
