"""The path of the messages: broker, bridge, databases, and problems."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models import units

from egiz_dashboards import panels
from egiz_dashboards.queries import PROMETHEUS, PromQl, Query, rate

_B = "egiz_bridge_"
# Where an alert begins (infra/prometheus/alerts.yml).
_LIMITS = {
    "Connected": panels.Limit(1, is_lowest=True),
    "Ledger": panels.Limit(1),
    "From the device to the bridge": panels.Limit(5),
    "From receipt to each database": panels.Limit(1),
    "From receipt to PUBACK": panels.Limit(5),
    "Queue of the broker": panels.Limit(150_000),
    "Memory": panels.Limit(0.8 * (512 << 20)),
    "Certificates": panels.Limit(14 * 86_400, is_lowest=True),
}


def board() -> Dashboard:
    """Flow, delay, what waits, what is lost, the broker."""
    made = panels.new(
        "ingestion",
        "ingestion health",
        "The path of the messages. docs/reference/metrics.md explains each number.",
        PROMETHEUS,
    )
    alerts = PromQl('ALERTS{alertstate="firing"}', is_table=True)
    made.with_row(Row("Alerts")).with_panel(
        panels.listing("Firing", "docs/runbook.md says what to do.", alerts)
    )
    for row in (_flow, _delay, _waiting, _trouble, _broker):
        row(made)
    return made


def _graphs(made: Dashboard, *graphs: tuple[str, str, str, list[PromQl]]) -> None:
    for title, text, unit, queries in graphs:
        targets: list[Query] = list(queries)
        limit = _LIMITS.get(title)
        made.with_panel(panels.graph(title, text, *targets, unit=unit, limit=limit))


def _flow(made: Dashboard) -> None:
    steps = ("received", "accepted", "acknowledged", "redelivered")
    made.with_row(Row("Flow"))
    _graphs(
        made,
        (
            "Messages",
            "Received, accepted by the contract, and acknowledged after the write.",
            units.MessagesPerSecond,
            [PromQl(rate(f"{_B}messages_{step}_total"), step) for step in steps],
        ),
        (
            "Stored",
            "By each database.",
            units.MessagesPerSecond,
            [PromQl(rate(f"{_B}sink_written_total", by="sink"), "{{sink}}")],
        ),
        (
            "Connected",
            "1 while subscribed, and while each database accepts writes.",
            units.NoUnit,
            [
                PromQl(f"min({_B}mqtt_connected)", "broker"),
                PromQl(f"min by (sink) ({_B}sink_up)", "{{sink}}"),
            ],
        ),
        (
            "Ledger",
            "Messages that are not accounted for: must be 0.",
            units.Short,
            [PromQl(f"sum by (sink) ({_B}sink_unaccounted)", "{{sink}}")],
        ),
    )


def _percentiles(histogram: str, by: str = "") -> list[PromQl]:
    buckets = rate(f"{_B}{histogram}_bucket", by=f"le{by and f', {by}'}")
    name = by and f" {{{{{by}}}}}"
    return [
        PromQl(f"histogram_quantile({share}, {buckets})", f"{text}{name}")
        for share, text in ((0.5, "half"), (0.99, "99 in 100"))
    ]


def _delay(made: Dashboard) -> None:
    made.with_row(Row("Delay"))
    _graphs(
        made,
        (
            "From the device to the bridge",
            "From the timestamp of the device; both clocks must be right.",
            units.Seconds,
            _percentiles("event_to_receipt_seconds"),
        ),
        (
            "From receipt to each database",
            "Of the first message of each batch.",
            units.Seconds,
            _percentiles("receipt_to_written_seconds", by="sink"),
        ),
        (
            "From receipt to PUBACK",
            "Follows the slowest database.",
            units.Seconds,
            _percentiles("receipt_to_acknowledged_seconds"),
        ),
        (
            "Turns of the main loop",
            "Time without reading the socket: a busy machine, or a slow disk.",
            units.Seconds,
            _percentiles("main_loop_turn_seconds"),
        ),
    )


def _waiting(made: Dashboard) -> None:
    made.with_row(Row("Waiting"))
    _graphs(
        made,
        (
            "Unacknowledged",
            "Messages in the window of the bridge, and its limit.",
            units.Short,
            [
                PromQl(f"sum({_B}mqtt_unacknowledged_messages)", "held"),
                PromQl(f"sum({_B}mqtt_receive_maximum_messages)", "most"),
            ],
        ),
        (
            "Spooled",
            "Messages that wait on the disk of the bridge.",
            units.Short,
            [PromQl(f"sum by (sink) ({_B}sink_spooled)", "{{sink}}")],
        ),
        (
            "Spool",
            "The size of spool and dead letters on the disk, and its limit.",
            units.BytesIEC,
            [
                PromQl(f"sum({_B}spool_bytes)", "used"),
                PromQl(f"sum({_B}spool_max_bytes)", "most"),
            ],
        ),
        (
            "Queue of the broker",
            "Messages that are queued or retained.",
            units.Short,
            [PromQl("sum(mosquitto_stored_messages)", "messages")],
        ),
    )


def _trouble(made: Dashboard) -> None:
    made.with_row(Row("Trouble"))
    _graphs(
        made,
        (
            "Break the contract",
            "Dead letters, by reason: egiz-bridge dlq list.",
            units.MessagesPerSecond,
            [PromQl(rate(f"{_B}messages_rejected_total", by="reason"), "{{reason}}")],
        ),
        (
            "Refused by a database",
            "Dead letters that a database did not accept: egiz-bridge dlq list.",
            units.MessagesPerSecond,
            [PromQl(rate(f"{_B}sink_dead_total", by="sink"), "{{sink}}")],
        ),
        (
            "Missing, late, twice",
            "By the sequence numbers of the devices.",
            units.Short,
            [
                PromQl(f"sum({_B}devices_missing_messages)", "missing"),
                PromQl(f"sum({_B}devices_late_messages_total)", "late"),
                PromQl(f"sum({_B}devices_duplicate_messages_total)", "twice"),
                PromQl(f"sum({_B}devices_buffered_messages_total)", "from an outbox"),
            ],
        ),
        (
            "Sessions",
            "Connections of the bridge, and sessions that the broker has lost.",
            units.Short,
            [
                PromQl(f"sum({_B}mqtt_connections_total)", "connections"),
                PromQl(f"sum({_B}mqtt_sessions_lost_total)", "sessions lost"),
            ],
        ),
    )
    for title, text, expr in (
        ("Losing", "Devices with most missing messages.", "device_missing_messages"),
        ("Silent", "Seconds since the last message.", "device_stale_seconds"),
    ):
        worst = PromQl(f"topk(20, {_B}{expr})", is_table=True)
        made.with_panel(panels.listing(title, text, worst, span=panels.HALF))
    expiry = PromQl(
        "bottomk(20, min by (certificate) (egiz_certificate_expiry_timestamp_seconds"
        f" or {_B}certificate_expiry_timestamp_seconds) - time())",
        "{{certificate}}",
    )
    text = "How long the 20 certificates that expire first are valid."
    _graphs(made, ("Certificates", text, units.DurationSeconds, [expiry]))


def _broker(made: Dashboard) -> None:
    made.with_row(Row("Broker"))
    _graphs(
        made,
        (
            "Dropped",
            "A queue was full: these messages are lost.",
            units.Short,
            [PromQl("sum(mosquitto_publish_dropped_messages_total)", "messages")],
        ),
        (
            "Clients",
            "With a connection, and with a session only.",
            units.Short,
            [
                PromQl("sum(mosquitto_clients_connected)", "connected"),
                PromQl("sum(mosquitto_clients_disconnected)", "session only"),
                PromQl("sum(mosquitto_connects_per_minute)", "connects a minute"),
            ],
        ),
        (
            "Memory",
            "Broker and bridge; each may have 512 MiB.",
            units.BytesIEC,
            [
                PromQl("sum(mosquitto_heap_bytes)", "broker"),
                PromQl(
                    'sum(process_resident_memory_bytes{job="egiz-bridge"})', "bridge"
                ),
            ],
        ),
        (
            "Traffic",
            "Of the broker.",
            units.BytesPerSecondIEC,
            [
                PromQl(rate("mosquitto_received_bytes_total"), "received"),
                PromQl(rate("mosquitto_sent_bytes_total"), "sent"),
            ],
        ),
        (
            "Devices by TLS",
            "Of their last connection; Mosquitto 2.0 does not say it: all are unknown.",
            units.Short,
            [PromQl("sum by (tls) (egiz_tls_devices)", "{{tls}}")],
        ),
    )
