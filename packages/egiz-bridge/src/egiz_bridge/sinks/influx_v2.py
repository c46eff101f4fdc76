"""InfluxDB 2's write API, which InfluxDB 3 and VictoriaMetrics serve too."""

from collections.abc import Mapping, Sequence

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.sinks.influx import TIMEOUT_S, failure, to_body


class InfluxV2:
    """Writes to a bucket through influxdb-client, which hands on our bytes as they are.

    Its own batching and retries are off: they give up, and this bridge does not.
    """

    name = "influxdb"

    def __init__(self, url: str, org: str, bucket: str, token: str | None) -> None:
        self._bucket = bucket
        self._client = InfluxDBClient(
            url, token or "", org=org, timeout=int(TIMEOUT_S * 1000), retries=False
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, rows: Sequence[Row]) -> None:
        """POST /api/v2/write."""
        try:
            self._api.write(
                self._bucket,
                record=to_body(rows),
                write_precision=WritePrecision.MS,  # type: ignore[arg-type]  # a str
            )
        except ApiException as fault:
            headers: Mapping[str, str] = fault.headers or {}
            told = str(fault.body or fault.reason)
            raise failure(fault.status, told, headers.get("Retry-After")) from fault
        except (HTTPError, OSError) as fault:
            raise Unavailable(str(fault)) from fault

    def close(self) -> None:
        """Close the connections."""
        self._client.close()  # type: ignore[no-untyped-call]  # of the library
