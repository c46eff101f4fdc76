"""Every device: what it does, and whether it has problems."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models import units

from egiz_dashboards import panels
from egiz_dashboards.queries import (
    INFLUXDB,
    PROMETHEUS,
    InfluxQl,
    PromQl,
    Rank,
    by_device,
    of_many,
    rate,
)
from egiz_dashboards.units import unit_of

_MOST_STATES = Rank("most_states", 'count(distinct("status_operational_state"))')
_MOST_FAULTS = Rank("most_faults", 'count("status_fault_codes_0")')
_WEAKEST_WIFI = Rank("weakest_wifi", 'mean("status_wifi_rssi")', is_lowest=True)
_FULLEST_OUTBOX = Rank("fullest_outbox", 'max("status_buffer_depth")')
_MOST_DROPPED = Rank("most_dropped", 'spread("status_dropped")')


def board() -> Dashboard:
    """Numbers, then machines, then trouble."""
    about = "Every device: what it does, and whether it has problems."
    made = panels.with_choices(
        panels.new("fleet", "fleet", about, INFLUXDB, PROMETHEUS), one_device=False
    )
    panels.with_ranks(
        made,
        *(_MOST_STATES, _MOST_FAULTS, _WEAKEST_WIFI, _FULLEST_OUTBOX, _MOST_DROPPED),
    )
    return _trouble(_machines(_numbers(made)))


def _numbers(made: Dashboard) -> Dashboard:
    alerts = PromQl('count(ALERTS{alertstate="firing"}) or vector(0)')
    rows = [
        (
            "Devices",
            "Devices that sent a message since the bridge started.",
            "egiz_bridge_devices",
            None,
        ),
        ("Stale", "Silent for more than a minute.", "egiz_bridge_devices_stale", 1),
        (
            "Drifting",
            "Devices with a clock that is off by more than a minute.",
            "egiz_bridge_devices_drifting",
            1,
        ),
        (
            "Missing messages",
            "Messages that devices counted and that did not arrive.",
            "egiz_bridge_devices_missing_messages",
            1,
        ),
    ]
    made.with_row(Row("Now"))
    for title, text, metric, bad_from in rows:
        query = PromQl(f"sum({metric})")
        made.with_panel(panels.number(title, text, query, bad_from=bad_from))
    received = PromQl(rate("egiz_bridge_messages_received_total"))
    text = "Messages that the broker sends to the bridge."
    return made.with_panel(
        panels.number("Messages", text, received, unit=units.MessagesPerSecond)
    ).with_panel(
        panels.number("Alerts", "docs/runbook.md says what to do.", alerts, bad_from=1)
    )


def _machines(made: Dashboard) -> Dashboard:
    state = of_many('last("status_operational_state")', _MOST_STATES)
    now = by_device(
        'last("status_operational_state") AS "state",'
        ' last("status_wifi_rssi") AS "signal",'
        ' last("status_uptime_seconds") AS "uptime",'
        ' last("status_free_memory_bytes") AS "free memory",'
        ' last("status_buffer_depth") AS "in outbox",'
        ' last("status_dropped") AS "dropped"'
    )
    return (
        made.with_row(Row("Machines"))
        .with_panel(
            panels.timeline(
                "State",
                "What machines report; those with most different states.",
                state,
            )
        )
        .with_panel(
            panels.listing(
                "Devices",
                "The last values of each device in the chosen time.",
                now,
                fields={
                    "signal": "status_wifi_rssi",
                    "uptime": "status_uptime_seconds",
                    "free memory": "status_free_memory_bytes",
                },
            )
        )
        .with_panel(
            panels.listing(
                "Births",
                "The last status of each device within 30 days.",
                _births(),
            )
        )
        .with_panel(
            panels.listing(
                "Updates",
                "The last update of each device within 30 days, and how far it is.",
                _updates(),
                shows_time=True,
            )
        )
    )


def _births() -> InfluxQl:
    """A device publishes its status when it boots, which may be long ago."""
    query = by_device(
        'last("state") AS "state", last("firmware_version") AS "firmware",'
        ' last("reset_cause") AS "reset cause", last("ip") AS "address",'
        ' last("boot") AS "boots", last("config_rev") AS "configuration"',
        "status",
    )
    return _of_30_days(query)


def _updates() -> InfluxQl:
    """One status of each device, whole: an error belongs to its own update."""
    query = by_device(
        'last("ota_state") AS "update", "ota_version" AS "version",'
        ' "ota_error" AS "reason", "firmware_version" AS "runs", "state"',
        "status",
    )
    return _of_30_days(query)


def _of_30_days(query: InfluxQl) -> InfluxQl:
    return query._replace(
        query=query.query.replace("$timeFilter", "time > now() - 30d")
    )


def _trouble(made: Dashboard) -> Dashboard:
    graphs = [
        (
            "Faults",
            "Messages that report a fault, of the devices with most of them.",
            'count("status_fault_codes_0")',
            _MOST_FAULTS,
            units.Short,
            panels.Limit(1),
        ),
        (
            "Wi-Fi signal",
            "The weakest. Below -80 dBm, messages are late; below -90 dBm, lost.",
            'mean("status_wifi_rssi")',
            _WEAKEST_WIFI,
            unit_of("status_wifi_rssi"),
            panels.WEAK_WIFI,
        ),
        (
            "Outbox",
            "Messages that wait in the device; the fullest: no broker is reached.",
            'max("status_buffer_depth")',
            _FULLEST_OUTBOX,
            unit_of("status_buffer_depth"),
            None,
        ),
        (
            "Dropped",
            "Messages lost because the outbox was full; of the devices with most.",
            'non_negative_difference(last("status_dropped"))',
            _MOST_DROPPED,
            unit_of("status_dropped"),
            panels.Limit(1),
        ),
    ]
    made.with_row(Row("Trouble"))
    for title, text, select, rank, unit, limit in graphs:
        query = of_many(select, rank)
        made.with_panel(panels.graph(title, text, query, unit=unit, limit=limit))
    return made
