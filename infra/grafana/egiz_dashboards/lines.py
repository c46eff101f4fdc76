"""Lines of machines compared: their power, and their temperatures."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries

from egiz_dashboards import panels
from egiz_dashboards.queries import (
    CHOSEN,
    INFLUXDB,
    PROMETHEUS,
    InfluxQl,
    Rank,
    by_device,
    of_many,
    over_time,
)
from egiz_dashboards.units import unit_of

_PHASES = "abc"
_OFF = 'mean("thermal_temperature_zones_0") - mean("thermal_setpoint")'
_LOWEST_POWER_FACTOR = Rank(
    "lowest_power_factor", 'mean("electrical_power_factor")', is_lowest=True
)
_HOTTEST = Rank("hottest", 'max("thermal_temperature_zones_0")')
_FARTHEST_OFF = Rank("farthest_off", f"abs({_OFF})")
_HIGHEST_SETPOINT = Rank("highest_setpoint", 'max("thermal_setpoint")')


def board() -> Dashboard:
    """Electrical, then thermal."""
    about = "Machines compared: their power, and their temperatures."
    title = "electrical and thermal lines"
    made = panels.new("lines", title, about, INFLUXDB, PROMETHEUS)
    panels.with_ranks(
        panels.with_choices(made, one_device=False),
        *(_LOWEST_POWER_FACTOR, _HOTTEST, _FARTHEST_OFF, _HIGHEST_SETPOINT),
    )
    return _thermal(_electrical(made))


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
                "Of the machines with the lowest.",
                of_many('mean("electrical_power_factor")', _LOWEST_POWER_FACTOR),
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
    """Of five minutes: in a short time not every machine has sent a message.

    And in few points: each is a mean of every machine, and their sum. The time that the
    database needs grows with the number of these means, not with that of the messages.
    """
    panel = panels.graph(
        title,
        "Of all machines together, per phase; each point is of five minutes or more.",
        *[_sum_of(f"{field}_{phase}", phase) for phase in _PHASES],
        unit=unit_of(f"{field}_a"),
    )
    return panel.interval("5m").max_data_points(30)


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
    return (
        made.with_row(Row("Thermal"))
        .with_panel(
            panels.graph(
                "Temperature",
                "Of each zone of the machines with the hottest zone 0.",
                of_many(
                    "mean(/^thermal_temperature_zones_/)",
                    _HOTTEST,
                    alias="$tag_device_id $col",
                ),
                unit=unit,
                span=panels.FULL,
            )
        )
        .with_panel(
            panels.graph(
                "Off the setpoint",
                "Zone 0 minus the setpoint, of the machines that are farthest off.",
                of_many(_OFF, _FARTHEST_OFF),
                unit=unit,
            )
        )
        .with_panel(
            panels.graph(
                "Setpoint",
                "Of the machines with the highest.",
                of_many('mean("thermal_setpoint")', _HIGHEST_SETPOINT),
                unit=unit,
            )
        )
    )
