"""One device: everything that it has measured and reported."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries

from egiz_dashboards import panels
from egiz_dashboards.queries import (
    INFLUXDB,
    PROMETHEUS,
    InfluxQl,
    by_device,
    newest,
    over_time,
)
from egiz_dashboards.units import unit_of

# Title, description, and the field: if it ends in _a, all three phases.
_ELECTRICAL = (
    ("Voltage", "RMS, per phase.", "electrical_voltage_a"),
    ("Current", "RMS, per phase.", "electrical_current_a"),
    ("Active power", "Per phase; negative is fed back.", "electrical_active_power_a"),
    (
        "Energy",
        "The counters of the meters; they only reset.",
        "electrical_energy_wh_a",
    ),
    ("Power factor", "Of the machine.", "electrical_power_factor"),
    ("Frequency", "Of the supply.", "electrical_frequency"),
)
_HEALTH = (
    ("Wi-Fi signal", "Below -80 dBm, messages are late.", "status_wifi_rssi"),
    ("Uptime", "Falls to 0 at a boot.", "status_uptime_seconds"),
    (
        "Free memory",
        "Free heap. If it falls steadily, there is a leak.",
        "status_free_memory_bytes",
    ),
    ("Outbox", "Messages that wait in the device.", "status_buffer_depth"),
    ("Dropped", "Messages lost since boot: the outbox was full.", "status_dropped"),
    ("Boots", "Each step is one boot.", "boot"),
)
# The others have none that holds for every machine.
_LIMITS = {
    "status_wifi_rssi": panels.WEAK_WIFI,
    "status_dropped": panels.Limit(1),
}


def board() -> Dashboard:
    """State, electrical, thermal, what has a name of its own, health."""
    about = "One device: everything that it has measured and reported."
    made = panels.with_choices(
        panels.new("device", "device", about, INFLUXDB, PROMETHEUS), one_device=True
    )
    made.with_row(Row("State")).with_panel(
        panels.timeline(
            "State",
            "The operational state that the device reports.",
            over_time('last("status_operational_state")'),
        )
    )
    made.with_panel(
        panels.listing(
            "Status",
            "The births of the device, and its last wills.",
            _status(),
            shows_time=True,
        )
    )
    made.with_panel(
        panels.listing(
            "Faults",
            "The fault codes of the last messages.",
            _faults(),
            shows_time=True,
        )
    )
    made.with_row(Row("Electrical"))
    for title, text, field in _ELECTRICAL:
        made.with_panel(_graph(title, text, field))
    made.with_row(Row("Thermal")).with_panel(_zones())
    made.with_row(Row("Channels"))
    _channels(made)
    made.with_row(Row("Health"))
    for title, text, field in _HEALTH:
        made.with_panel(_graph(title, text, field))
    return made


def _graph(title: str, about: str, field: str) -> Timeseries:
    return panels.graph(
        title,
        about,
        _mean_of(field),
        unit=unit_of(field),
        span=panels.HALF,
        limit=_LIMITS.get(field),
    )


def _mean_of(field: str) -> InfluxQl:
    """Of the phases together, if it is one of them."""
    if field.endswith("_a"):
        return over_time(f"mean(/^{field[:-1]}[abc]$/)", alias="$col")
    return over_time(f'mean("{field}") AS "{field}"', alias="$col")


def _zones() -> Timeseries:
    return panels.graph(
        "Temperature",
        "Of each zone, and the setpoint. A zone that was not read is a gap.",
        over_time("mean(/^thermal_temperature_zones_/)", alias="$col"),
        over_time('mean("thermal_setpoint") AS "setpoint"', alias="$col"),
        unit=unit_of("thermal_setpoint"),
        span=panels.FULL,
    )


def _channels(made: Dashboard) -> None:
    """Whatever the device has: their names are its own."""
    made.with_panel(
        panels.graph(
            "Values",
            "Each in the unit that the table below shows. A null is a gap.",
            over_time("mean(/^values_/)", alias="$col"),
        )
    )
    made.with_panel(
        panels.graph(
            "Counters",
            "By how much each one grew, from point to point; a restart is not counted.",
            over_time("non_negative_difference(last(/^counters_/))", alias="$col"),
        )
    )
    made.with_panel(
        panels.timeline(
            "Contacts",
            "Open or on, closed or off.",
            over_time("last(/^contacts_/)", alias="$col"),
        )
    )
    made.with_panel(
        panels.facts(
            "Quantities and units",
            "Of each channel, as the last birth declares them, also before the chosen"
            " time. Without a unit it is the usual one of the quantity, as in the data"
            " dictionary.",
            newest("^channels_", "status"),
        )
    )


def _status() -> InfluxQl:
    wanted = ("state", "boot", "firmware_version", "reset_cause", "ip", "config_rev")
    return _newest(", ".join(f'"{name}"' for name in wanted), "status")


def _faults() -> InfluxQl:
    return _newest("/^status_fault_codes_/", "telemetry")


def _newest(select: str, measurement: str) -> InfluxQl:
    query = by_device(select, measurement)
    return query._replace(query=f"{query.query} ORDER BY time DESC LIMIT 20")
