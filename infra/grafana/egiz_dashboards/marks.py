"""What is marked on every panel of a dashboard: alerts, births, new configurations."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationTarget

from egiz_dashboards.queries import CHOSEN, INFLUXDB, PROMETHEUS


class _Target(AnnotationTarget):
    """A query of the archive; the SDK knows those of Grafana's own database only."""

    def __init__(self, query: str) -> None:
        super().__init__()
        self._query = query

    def to_json(self) -> dict[str, object]:
        """As the plugin for InfluxDB reads it."""
        return {
            "refId": "Mark",
            "fromAnnotations": True,
            "query": self._query,
            "textColumn": "device_id",
        }


class _TargetBuilder(Builder[AnnotationTarget]):
    def __init__(self, query: str) -> None:
        self._query = query

    def build(self) -> AnnotationTarget:
        return _Target(self._query)


def of_alerts(board: str) -> AnnotationQuery:
    """Where an alert fired; on the dashboard of a device, one about this device."""
    ours = ',device_id="$device_id"' if board == "device" else ""
    made = AnnotationQuery().name("Alerts").enable(True).icon_color("red")
    return made.datasource(PROMETHEUS).expr(f'ALERTS{{alertstate="firing"{ours}}}')


def of_devices() -> Iterator[AnnotationQuery]:
    """Where a chosen device began a boot, and where it has another configuration."""
    for name, field, colour in (
        ("Births", "boot", "blue"),
        ("Configurations", "config_rev", "purple"),
    ):
        made = AnnotationQuery().name(name).enable(True).icon_color(colour)
        yield made.datasource(INFLUXDB).target(_TargetBuilder(_changes(field)))


def _changes(field: str) -> str:
    """Each status whose number is another one than in the status before."""
    each = (
        f'SELECT difference("{field}") AS "step" FROM "status"'
        f' WHERE {CHOSEN} GROUP BY "facility", "device_id"'
    )
    return f'SELECT "step", "device_id" FROM ({each}) WHERE $timeFilter AND "step" <> 0'
