"""The kinds of panel that the dashboards are made of."""

from string import ascii_uppercase
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from egiz_dashboards import marks
from egiz_dashboards.queries import INFLUXDB, Query, Rank
from egiz_dashboards.units import unit_of


class Limit(NamedTuple):
    """A line that is drawn across a graph: what is beyond it is bad."""

    value: float
    is_lowest: bool = False


WEAK_WIFI = Limit(-80, is_lowest=True)

_Panel = TypeVar(
    "_Panel", stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel
)

FULL, HALF, SIXTH = 24, 12, 4
_GAP_MS = 60_000
# What a panel says when there is nothing to show.
_NOTHING = {
    "influxdb": "Nothing was stored for this choice in this time",
    "prometheus": "Prometheus has no such value: see its targets",
}

# Known words; others get a colour of Grafana's choice.
_STATES = ValueMap(
    {
        "running": ValueMappingResult(color="green"),
        "stopped": ValueMappingResult(color="text"),
        "fault": ValueMappingResult(color="red"),
        "true": ValueMappingResult(color="orange", text="open, on"),
        "false": ValueMappingResult(color="text", text="closed, off"),
    }
)
_TO_DEVICE = {
    "title": "${__value.raw}",
    "url": "/d/openegiz-device?var-device_id=${__value.raw}&${__url_time_range}",
}
_WITHOUT_TIME = DataTransformerConfig(
    "organize", options={"excludeByName": {"Time": True}}
)


def graph(
    title: str,
    about: str,
    *queries: Query,
    unit: str = units.Short,
    span: int = HALF,
    limit: Limit | None = None,
) -> timeseries.Panel:
    """Lines over time; a gap in the data is a gap in the line.

    A pixel may be shorter than the pause between two messages: nulls of less than a
    minute are no gap. A device is stale after that time, too.
    """
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    tooltip = (
        common.VizTooltipOptions()
        .mode(TooltipDisplayMode.MULTI)
        .sort(SortOrder.DESCENDING)
    )
    panel = timeseries.Panel().legend(legend).tooltip(tooltip)
    panel.show_points(VisibilityMode.AUTO).span_nulls(_GAP_MS)
    if limit:
        style = common.GraphThresholdsStyleConfig()
        style.mode(GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_drawn(limit)).thresholds_style(style)
    return _filled(panel.height(8).unit(unit), title, about, span, queries)


def number(
    title: str,
    about: str,
    query: Query,
    *,
    unit: str = units.Short,
    bad_from: float | None = None,
) -> stat.Panel:
    """One number; red from `bad_from` on, if that is given."""
    panel = stat.Panel().height(4).unit(unit).graph_mode(BigValueGraphMode.AREA)
    panel.thresholds(_thresholds(bad_from))
    return _filled(panel, title, about, SIXTH, [query])


def listing(
    title: str,
    about: str,
    *queries: Query,
    span: int = FULL,
    fields: dict[str, str] | None = None,
    shows_time: bool = False,
) -> table.Panel:
    """Rows; a device is a link to its own dashboard.

    Args:
        title: of the panel.
        about: its description.
        queries: one or more.
        span: columns of 24.
        fields: which columns hold which field of the contract, for their unit.
        shows_time: whether the time of a row is its own, and not that of the query.
    """
    panel = table.Panel().height(8).filterable(True)
    panel.override_by_name("device_id", [DynamicConfigValue("links", [_TO_DEVICE])])
    if not shows_time:
        panel.with_transformation(_WITHOUT_TIME)
    for column, field in (fields or {}).items():
        unit = DynamicConfigValue("unit", unit_of(field))
        panel.override_by_name(column, [unit])
    return _filled(panel, title, about, span, queries)


def facts(title: str, about: str, query: Query) -> table.Panel:
    """One row for each column of the answer: its name, and its last value."""
    panel = table.Panel().height(8).filterable(True)
    reduced = DataTransformerConfig("reduce", options={"reducers": ["lastNotNull"]})
    panel.with_transformation(_WITHOUT_TIME).with_transformation(reduced)
    return _filled(panel, title, about, FULL, [query])


def timeline(title: str, about: str, query: Query) -> statetimeline.Panel:
    """A state over time."""
    panel = statetimeline.Panel().height(8).merge_values(True).mappings([_STATES])
    panel.line_width(0).fill_opacity(70)
    # A machine that is silent is in no state; the SDK has no method for this here.
    gap = DynamicConfigValue("custom.spanNulls", _GAP_MS)
    panel.override_by_regexp(".*", [gap])
    return _filled(panel, title, about, FULL, [query])


def _thresholds(bad_from: float | None) -> dashboard.ThresholdsConfig:
    # Without any, Grafana turns red at 80, whatever it is 80 of.
    steps = [Threshold(None, "green")]
    if bad_from is not None:
        steps.append(Threshold(bad_from, "red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _drawn(limit: Limit) -> dashboard.ThresholdsConfig:
    below, above = ("red", "green") if limit.is_lowest else ("green", "red")
    steps = [Threshold(None, below), Threshold(limit.value, above)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _filled(
    panel: _Panel,
    title: str,
    about: str,
    span: int,
    queries: tuple[Query, ...] | list[Query],
) -> _Panel:
    source = queries[0].source
    panel.title(title).description(about).span(span).datasource(source)
    panel.no_value(_NOTHING[str(source.type_val)])
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(query.target(letter))
    return panel


def new(
    name: str, title: str, about: str, *sources: DataSourceRef
) -> dashboard.Dashboard:
    """An empty dashboard, which links to the others and asks these sources."""
    others = dashboard.DashboardLink("OpenEgiz").tags(["openegiz"])
    made = (
        dashboard.Dashboard(f"OpenEgiz: {title}")
        .uid(f"openegiz-{name}")
        .description(about)
        .tags(["openegiz"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(others.as_dropdown(True).keep_time(True).include_vars(True))
    )
    for source in sources:
        made.with_variable(_choice_of(source))
    # Where you serve what `make docs` builds: panels link to its runbook.
    docs = dashboard.TextBoxVariable("docs").label("Documentation")
    made.with_variable(docs.default_value("http://localhost:8000"))
    if INFLUXDB in sources:
        for mark in marks.of_devices():
            made.annotation(mark)
    return made.annotation(marks.of_alerts(name))


def _choice_of(source: DataSourceRef) -> dashboard.DatasourceVariable:
    """The provisioned one, unless the reader chooses another."""
    name, plugin = str(source.uid).strip("${}"), str(source.type_val)
    ours = VariableOption(text=f"OpenEgiz {name}", value=f"openegiz-{plugin}")
    variable = dashboard.DatasourceVariable(name).label(name.capitalize())
    return variable.type(plugin).current(ours)


def choice(
    name: str, label: str, *, several: bool, of: str = ""
) -> dashboard.QueryVariable:
    """A variable with the values of a tag; `of` says of which series."""
    query = (
        f'SHOW TAG VALUES FROM "telemetry" WITH KEY = "{name}"{of and f" WHERE {of}"}'
    )
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(INFLUXDB)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    return variable.all_value(".*") if several else variable


def with_choices(
    board: dashboard.Dashboard, *, one_device: bool
) -> dashboard.Dashboard:
    """Let the reader choose facilities, types and devices."""
    of_facility = '"facility" =~ /^$facility$/'
    of_type = f'{of_facility} AND "device_type" =~ /^$device_type$/'
    made = (
        board.with_variable(choice("facility", "Facility", several=True))
        .with_variable(choice("device_type", "Type", several=True, of=of_facility))
        .with_variable(
            choice("device_id", "Device", several=not one_device, of=of_type)
        )
    )
    if one_device:
        return made
    most = dashboard.CustomVariable("lines").label("Devices at most")
    first = VariableOption(text="20", value="20")
    return made.with_variable(most.values("20,50,200,1000").current(first))


def with_ranks(board: dashboard.Dashboard, *ranks: Rank) -> dashboard.Dashboard:
    """Hidden variables with the devices that the panels of a rank show.

    All of the values are chosen, as one regular expression of their names.
    """
    for rank in ranks:
        variable = (
            dashboard.QueryVariable(rank.name)
            .hide(VariableHide.HIDE_VARIABLE)
            .datasource(INFLUXDB)
            .query(rank.query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.DISABLED)
            .multi(True)
            .include_all(True)
            .current(VariableOption(text="All", value="$__all"))
        )
        board.with_variable(variable)
    return board
