"""Lines of machines compared: their power, and their temperatures."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries

from egiz_dashboards import panels
from egiz_dashboards.queries import (
    CHOSEN,
    INFLUXDB,
    PROMETHEUS,
    InfluxQl,
    by_device,
    of_many,
    over_time,
)
from egiz_dashboards.units import unit_of

_PHASES = "abc"


def board() -> Dashboard:
    """Electrical, then thermal."""
    about = "Machines compared: their power, and their temperatures."
    title = "electrical and thermal lines"
    made = panels.new("lines", title, about, INFLUXDB, PROMETHEUS)
    return _thermal(_electrical(panels.with_choices(made, one_device=False)))


def _electrical(made: Dashboard) -> Dashboard:
    energy = ", ".join(
        f'spread("electrical_energy_wh_{phase}") AS "phase {phase}"'
        for phase in _PHASES
    )
    return (
        made.with_row(Row("Electrical"))
        .with_panel(_total("Active power", "electrical_active_power"))
        .with_panel(_total("Current", "electrical_current"))
        .with_panel(
            panels.graph(
                "Voltage",
                "The lowest and the highest of all machines.",
                *[_extremes(phase) for phase in _PHASES],
                unit=unit_of("electrical_voltage_a"),
            )
        )
        .with_panel(
            panels.graph(
                "Power factor",
                "Of each machine.",
                of_many('mean("electrical_power_factor")'),
                unit=unit_of("electrical_power_factor"),
            )
        )
        .with_panel(
            panels.listing(
                "Energy",
                "Used in the chosen time; wrong if a meter was reset in it.",
                by_device(energy),
                fields={f"phase {p}": f"electrical_energy_wh_{p}" for p in _PHASES},
            )
        )
    )


def _total(title: str, field: str) -> Timeseries:
    """Of whole minutes: in a shorter time not every machine has sent a message.

    And of few of them: each point is a mean of every machine, and their sum.
    """
    panel = panels.graph(
        title,
        "Of all machines together, per phase.",
        *[_sum_of(f"{field}_{phase}", phase) for phase in _PHASES],
        unit=unit_of(f"{field}_a"),
    )
    return panel.interval("1m").max_data_points(120)


def _sum_of(field: str, phase: str) -> InfluxQl:
    """Machines do not publish at the same time: first a mean of each, then the sum."""
    # Without its empty intervals, which would be most of the rows.
    each = over_time(f'mean("{field}") AS "one"').query.replace("(null)", "(none)")
    outer = 'SELECT sum("one") FROM ({}) WHERE {} GROUP BY time($__interval) fill(null)'
    return InfluxQl(outer.format(each, "$timeFilter"), f"phase {phase}")


def _extremes(phase: str) -> InfluxQl:
    field = f"electrical_voltage_{phase}"
    return InfluxQl(
        f'SELECT min("{field}") AS "{phase} lowest",'
        f' max("{field}") AS "{phase} highest"'
        f' FROM "telemetry" WHERE {CHOSEN} GROUP BY time($__interval) fill(null)',
        "$col",
    )


def _thermal(made: Dashboard) -> Dashboard:
    unit = unit_of("thermal_setpoint")
    off = 'mean("thermal_temperature_zones_0") - mean("thermal_setpoint")'
    return (
        made.with_row(Row("Thermal"))
        .with_panel(
            panels.graph(
                "Temperature",
                "Of each zone of each machine.",
                of_many(
                    "mean(/^thermal_temperature_zones_/)", alias="$tag_device_id $col"
                ),
                unit=unit,
                span=panels.FULL,
            )
        )
        .with_panel(
            panels.graph(
                "Off the setpoint",
                "Zone 0 of each machine minus its setpoint.",
                of_many(off),
                unit=unit,
            )
        )
        .with_panel(
            panels.graph(
                "Setpoint",
                "The setpoint of each machine.",
                of_many('mean("thermal_setpoint")'),
                unit=unit,
            )
        )
    )
