"""InfluxDB 1's /write, for the databases that have no other."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.sinks.influx import TIMEOUT_S, failure, to_body


class InfluxV1:
    """Writes to a database; `credentials` are ``user:password``, or none."""

    name = "influxdb"

    def __init__(self, url: str, database: str, credentials: str | None) -> None:
        query = urlencode({"db": database, "precision": "ms"})
        self._url = f"{url.rstrip('/')}/write?{query}"
        self._pool = urllib3.PoolManager(
            timeout=TIMEOUT_S,
            retries=False,
            headers=urllib3.make_headers(basic_auth=credentials),
        )

    def write(self, rows: Sequence[Row]) -> None:
        """POST /write."""
        try:
            answer = self._pool.request("POST", self._url, body=to_body(rows))
        except (HTTPError, OSError) as fault:
            raise Unavailable(str(fault)) from fault
        if answer.status >= HTTPStatus.BAD_REQUEST:
            told = answer.data.decode(errors="replace")
            raise failure(answer.status, told, answer.headers.get("Retry-After"))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()
