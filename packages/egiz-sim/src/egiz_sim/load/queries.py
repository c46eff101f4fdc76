"""Questions to each database: which messages of a facility has it, since when?"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from egiz_sim.direct import OPENER

_TIMEOUT_S = 30.0
_LOGIN = (401, 403)


class Point(NamedTuple):
    """Of a message of telemetry."""

    device_id: str
    time_ms: int
    boot: int
    seq: int


class Query(Protocol):
    """A question to a database."""

    def points(self, since_ms: int) -> list[Point]:
        """All points of the facility from then on.

        Raises:
            OSError: if it does not answer, or with an error.
            ValueError: if the answer cannot be read.
        """


class InfluxDb1:
    """InfluxQL, over HTTP: there is no client library that is still maintained."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order

    def points(self, since_ms: int) -> list[Point]:
        """As Query."""
        query = (
            "SELECT boot, seq FROM telemetry"  # noqa: S608  # of an alphabet without quotes
            f" WHERE facility = '{self._facility}' AND time >= {since_ms}ms"
            " GROUP BY device_id"
        )
        where = {"db": self._order["database"], "epoch": "ms", "q": query}
        answer = json.loads(_get(self._order, "/query", where))
        (result,) = answer["results"]
        if "error" in result:
            raise OSError(result["error"])
        return [
            Point(series["tags"]["device_id"], time_ms, int(boot), int(seq))
            for series in result.get("series", [])
            for time_ms, boot, seq in series["values"]
            if boot is not None and seq is not None
        ]

    @property
    def _facility(self) -> str:
        return str(self._order["facility"])  # of an alphabet without quotes


class InfluxDb2:
    """Flux, by the query API of influxdb-client."""

    def __init__(self, order: dict[str, Any]) -> None:
        try:
            from influxdb_client.client.influxdb_client import (  # noqa: PLC0415  # an extra
                InfluxDBClient,
            )
        except ImportError:
            raise OSError("pip install 'egiz-sim[influxdb2]'") from None
        self._order = order
        self._api = InfluxDBClient(
            order["url"], order["secret"], org=order["org"], timeout=30_000
        ).query_api()

    def points(self, since_ms: int) -> list[Point]:
        """As Query."""
        from influxdb_client.rest import ApiException  # noqa: PLC0415  # as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # its own dependency

        since = datetime.fromtimestamp(since_ms / 1000, UTC).isoformat()
        flux = (
            f"from(bucket: {_flux(self._order['bucket'])})"
            f' |> range(start: time(v: "{since}"))'
            ' |> filter(fn: (r) => r._measurement == "telemetry"'
            f" and r.facility == {_flux(self._order['facility'])}"
            ' and (r._field == "boot" or r._field == "seq"))'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        )
        try:
            tables = self._api.query(flux)
        except ApiException as error:
            raise OSError(f"{error.status} {error.reason}") from None
        except HTTPError as error:
            raise OSError(str(error)) from None
        return list(_records(tables))


class VictoriaMetrics:
    """Its export; a sample may be queried a second or two after it was written."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order

    def points(self, since_ms: int) -> list[Point]:
        """As Query."""
        found = {name: self._samples(name, since_ms) for name in ("boot", "seq")}
        return [
            Point(*key, int(found["boot"][key]), int(seq))
            for key, seq in found["seq"].items()
            if key in found["boot"]
        ]

    def _samples(self, field: str, since_ms: int) -> dict[tuple[str, int], float]:
        name = f'telemetry_{field}{{facility="{self._order["facility"]}"}}'
        where = {"match[]": name, "start": f"{since_ms / 1000:.3f}"}
        lines = _get(self._order, "/api/v1/export", where).splitlines()
        return {
            (series["metric"]["device_id"], time_ms): value
            for series in map(json.loads, lines)
            for time_ms, value in zip(
                series["timestamps"], series["values"], strict=True
            )
        }


QUERIES: dict[str, Callable[[dict[str, Any]], Query]] = {
    "influxdb1": InfluxDb1,
    "influxdb2": InfluxDb2,
    "victoriametrics": VictoriaMetrics,
}


def _get(order: dict[str, Any], path: str, where: dict[str, str]) -> bytes:
    url = f"{order['url']}{path}?{urlencode(where)}"
    request = urllib.request.Request(url)  # noqa: S310  # of http or https, as `stores` made it
    for name, value in _login(order).items():  # which is for this server alone
        request.add_unredirected_header(name, value)
    try:
        with OPENER.open(request, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        fix = "; is EGIZ_SIM_DATABASE_SECRET right?" if error.code in _LOGIN else ""
        raise OSError(f"HTTP {error.code} {error.reason}{fix}") from None
    except HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from None
    return body


def _login(order: dict[str, Any]) -> dict[str, str]:
    if order["username"] is None:
        return {}
    pair = f"{order['username']}:{order['secret'] or ''}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _records(tables: Any) -> Iterator[Point]:
    for values in (record.values for table in tables for record in table.records):
        boot, seq = values.get("boot"), values.get("seq")
        if boot is not None and seq is not None:
            time_ms = round(values["_time"].timestamp() * 1000)
            yield Point(values["device_id"], time_ms, int(boot), int(seq))


def _flux(text: str) -> str:
    """A text of Flux, in which ${ would begin an expression."""
    return json.dumps(text, ensure_ascii=False).replace("${", "\\${")
