"""The queries of the panels, and their data sources."""

from typing import NamedTuple

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

# Variables of each dashboard, so that other data sources can be chosen.
INFLUXDB = DataSourceRef("influxdb", "${archive}")
PROMETHEUS = DataSourceRef("prometheus", "${metrics}")

_DEVICES = (
    '"facility" =~ /^$facility$/'
    ' AND "device_type" =~ /^$device_type$/ AND "device_id" =~ /^$device_id$/'
)
# The chosen devices, in the chosen time.
CHOSEN = f"$timeFilter AND {_DEVICES}"


class _RawQuery(Builder[Dataquery]):
    """The SDK has no InfluxQL; it passes on fields that it does not know."""

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    def build(self) -> Dataquery:
        return UnknownDataquery(self._fields)


class InfluxQl(NamedTuple):
    """A query of the archive; `alias` names its series."""

    query: str
    alias: str = "$tag_device_id"
    is_table: bool = False
    source: DataSourceRef = INFLUXDB

    def target(self, letter: str) -> Builder[Dataquery]:
        """As a panel holds it."""
        fields: dict[str, object] = {
            "refId": letter,
            "datasource": self.source,
            "rawQuery": True,
            "query": self.query,
            "alias": self.alias,
            "resultFormat": "table" if self.is_table else "time_series",
        }
        return _RawQuery(fields)


class PromQl(NamedTuple):
    """A query of the metrics; `legend` names its series."""

    expr: str
    legend: str = ""
    is_table: bool = False
    source: DataSourceRef = PROMETHEUS

    def target(self, letter: str) -> Builder[Dataquery]:
        """As a panel holds it; a table shows what is, not what was."""
        fields: dict[str, object] = {
            "refId": letter,
            "datasource": self.source,
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.is_table,
            "range": not self.is_table,
            "format": "table" if self.is_table else "time_series",
        }
        return _RawQuery(fields)


Query = InfluxQl | PromQl


def over_time(select: str, *, by: str = '"device_id"', alias: str = "") -> InfluxQl:
    """Telemetry of the chosen devices, one value for each pixel and device.

    A pixel without a value is null, so that a panel can draw a gap.
    """
    return InfluxQl(
        f'SELECT {select} FROM "telemetry" WHERE {CHOSEN}'
        f" GROUP BY time($__interval), {by} fill(null)",
        alias or "$tag_device_id",
    )


class Rank(NamedTuple):
    """Which devices are shown, where there are more than the reader wants to see.

    Attributes:
        name: of the variable of the dashboard that has them.
        select: one number of each device in the chosen time.
        is_lowest: whether those with the lowest numbers are shown.
    """

    name: str
    select: str
    is_lowest: bool = False

    @property
    def query(self) -> str:
        """The devices, and their numbers: InfluxQL cannot ask for both at once.

        A variable of Grafana has the first column that is not the time.
        """
        function = "bottom" if self.is_lowest else "top"
        each = (
            f'SELECT {self.select} AS "one" FROM "telemetry" WHERE {CHOSEN}'
            ' GROUP BY "device_id"'
        )
        ends = f'{function}("one", "device_id", $lines) AS "number"'
        return f'SELECT "device_id", "number" FROM (SELECT {ends} FROM ({each}))'


def of_many(select: str, rank: Rank, *, alias: str = "") -> InfluxQl:
    """The same of so many devices as the reader wants to see at once.

    1,000 lines are one grey area, and their answer is 750,000 rows.
    """
    all_of_them = over_time(select, alias=alias)
    ranked = f'"device_id" =~ /^${rank.name}$/ GROUP BY'
    query = all_of_them.query.replace("GROUP BY", f"AND {ranked}", 1)
    return all_of_them._replace(query=f"{query} SLIMIT $lines")


def by_device(select: str, measurement: str = "telemetry") -> InfluxQl:
    """One row for each of the chosen devices."""
    return InfluxQl(
        f'SELECT {select} FROM "{measurement}" WHERE {CHOSEN}'
        ' GROUP BY "facility", "device_id"',
        is_table=True,
    )


def newest(fields: str, measurement: str) -> InfluxQl:
    """The last value of each field of the chosen device, however old it is.

    Args:
        fields: a regular expression.
        measurement: where they are.
    """
    return InfluxQl(
        f'SELECT last(/{fields}/) FROM "{measurement}" WHERE {_DEVICES}', is_table=True
    )


def rate(counter: str, *, by: str = "") -> str:
    """How much a counter grows each second."""
    total = f"sum by ({by})" if by else "sum"
    return f"{total} (rate({counter}[$__rate_interval]))"
