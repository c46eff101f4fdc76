"""The counts as Prometheus metrics, one consistent snapshot per scrape."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from egiz_bridge.ledger.counts import Counts, Ledger
from egiz_bridge.ledger.devices import DRIFTING_MS, Devices, KnownDevice
from egiz_bridge.ledger.latency import Latencies
from egiz_bridge.ledger.our_clock import OurClock
from egiz_bridge.mqtt.connection import RECEIVE_MAXIMUM
from egiz_bridge.observe.updates import of_updates
from egiz_bridge.spool import Spool

_P = "egiz_bridge_"
_WORST = 100  # devices with a metric of their own; `egiz-bridge devices` knows all


class CountsCollector(Collector):
    """Reads the ledger at each scrape; nothing is counted twice."""

    def __init__(
        self,
        ledger: Ledger,
        devices: Devices,
        spool: Spool,
        our_clock: OurClock,
        certificate_expiries: Callable[[], Mapping[str, float]],
    ) -> None:
        self._certificate_expiries = certificate_expiries
        self._devices = devices
        self._ledger = ledger
        self._spool = spool
        self._our_clock = our_clock

    def collect(self) -> Iterator[Metric]:
        """All metrics of the bridge."""
        counts = self._ledger.snapshot()
        yield from _of_mqtt(counts)
        yield from _of_messages(counts)
        yield from _of_dead_letters(counts)
        yield from _of_loop(counts)
        yield from _of_sinks(counts)
        yield from _of_devices(self._devices)
        yield _of_losing_devices(self._devices)
        yield from _of_troubles(self._devices)
        yield of_updates(self._devices)
        yield from _of_our_clock(self._our_clock)
        yield from _of_spool(self._spool)
        yield from _of_files(self._spool, counts)
        yield _of_certificates(self._certificate_expiries())


def _counters(*described: tuple[str, str, float]) -> Iterator[Metric]:
    for name, text, value in described:
        yield CounterMetricFamily(_P + name, text, value=value)


def _gauges(*described: tuple[str, str, float]) -> Iterator[Metric]:
    for name, text, value in described:
        yield GaugeMetricFamily(_P + name, text, value=value)


def _of_mqtt(counts: Counts) -> Iterator[Metric]:
    yield from _gauges(
        ("mqtt_connected", "1 while subscribed", counts.is_connected),
        (
            "mqtt_receive_maximum_messages",
            "Messages that the broker may have unacknowledged",
            RECEIVE_MAXIMUM,
        ),
        (
            "mqtt_window_seen_messages",
            "After how many messages the broker waits for PUBACKs; 0: not seen",
            counts.window,
        ),
        (
            "mqtt_unacknowledged_messages",
            "Messages received at QoS 1 and not acknowledged yet",
            counts.unacknowledged,
        ),
    )
    yield from _counters(
        ("mqtt_sessions_lost", "Sessions that the broker lost", counts.sessions_lost),
        ("mqtt_connections", "Times the bridge subscribed", counts.connections),
    )


def _of_messages(counts: Counts) -> Iterator[Metric]:
    yield from _counters(
        ("messages_redelivered", "Sent again by the broker (DUP)", counts.redelivered),
        ("messages_received", "PUBLISH packets, repeats included", counts.received),
        ("messages_accepted", "Offered to every sink", counts.accepted),
        ("messages_acknowledged", "PUBACKs sent", counts.acknowledged),
    )
    for name, text, by_reason in (
        ("messages_rejected", "Not of the contract: dead letters", counts.rejected),
        ("messages_skipped", "Of the contract, but no sink wants them", counts.skipped),
        (
            "readings_dropped",
            "Wrong readings of messages that are stored without them",
            counts.readings_dropped,
        ),
    ):
        family = CounterMetricFamily(_P + name, text, labels=["reason"])
        for reason, count in by_reason.items():
            family.add_metric([reason], count)
        yield family


def _of_dead_letters(counts: Counts) -> Iterator[Metric]:
    yield from _gauges(
        (
            "dead_letters_waiting",
            "Dead letters that the disk has not accepted yet",
            counts.dead_letters_waiting,
        ),
    )
    yield from _counters(
        (
            "dead_letters_lost",
            "Of QoS 0, while the disk accepted none: not kept",
            counts.dead_letters_lost,
        ),
    )


def _of_loop(counts: Counts) -> Iterator[Metric]:
    yield _histogram(
        "receipt_to_acknowledged_seconds",
        "From the receipt of a batch's first message to its PUBACK",
        {(): counts.receipt_to_ack},
    )
    yield _histogram(
        "main_loop_turn_seconds",
        "How long a turn of the main loop lasts, its waits not counted",
        {(): counts.loop_turns},
    )


def _of_devices(devices: Devices) -> Iterator[Metric]:
    total = devices.totals()
    yield from _gauges(
        ("devices", "Devices that sent a message since the start", len(devices.seen())),
        (
            "devices_missing_messages",
            "Messages that devices counted and that did not arrive",
            total.missing,
        ),
    )
    yield from _counters(
        ("devices_duplicate_messages", "Sent twice by a device", total.duplicates),
        ("devices_late_messages", "Counted as missing, and arrived later", total.late),
        (
            "devices_buffered_messages",
            "Kept by a device in an outage, sent later",
            total.buffered,
        ),
        ("devices_reboots", "Boots of devices that sent before", total.reboots),
    )
    yield _histogram(
        "event_to_receipt_seconds",
        "From a device's time to its receipt, live telemetry",
        {(): devices.event_to_receipt},
    )


def _of_losing_devices(devices: Devices) -> Metric:
    worst = GaugeMetricFamily(
        _P + "device_missing_messages",
        f"Missing messages of the {_WORST} devices with most",
        labels=["facility", "device_id"],
    )
    losing = [known for known in devices.seen() if known.device.missing]
    losing.sort(key=_missing, reverse=True)
    for facility, device_id, device in losing[:_WORST]:
        worst.add_metric([facility, device_id], device.missing)
    return worst


def _of_troubles(devices: Devices) -> Iterator[Metric]:
    stale = devices.stale(time.time_ns() // 1_000_000)
    drifting = sum(abs(s.device.clock_skew_ms) >= DRIFTING_MS for s in devices.seen())
    yield GaugeMetricFamily(
        _P + "devices_stale", "Devices without a message for a minute", len(stale)
    )
    yield GaugeMetricFamily(
        _P + "devices_drifting",
        "Devices with a clock that is a minute or more from ours",
        value=drifting,
    )
    longest = GaugeMetricFamily(
        _P + "device_stale_seconds",
        f"Since the last message of the {_WORST} devices that are stale for longest",
        labels=["facility", "device_id"],
    )
    for seconds, (facility, device_id, _) in stale[:_WORST]:
        longest.add_metric([facility, device_id], seconds)
    yield longest


def _of_our_clock(our_clock: OurClock) -> Iterator[Metric]:
    yield from _gauges(
        (
            "clock_wrong",
            "1 while nearly all devices are five minutes or more ahead of us",
            our_clock.is_wrong,
        )
    )
    yield from _counters(
        ("clock_jumps", "Times our clock was set by five minutes", our_clock.jumps)
    )


def _of_spool(spool: Spool) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        _P + "spool_bytes",
        "Batches and dead letters on this disk",
        spool.quota.bytes_used,
    )
    yield GaugeMetricFamily(
        _P + "spool_max_bytes",
        "spool.max_bytes: the limit of spool_bytes",
        spool.quota.max_bytes,
    )
    yield CounterMetricFamily(
        _P + "dead_letters_dropped",
        "Oldest dead letters, deleted to make room for newer ones",
        value=spool.dead_letters.dropped,
    )


def _of_files(spool: Spool, counts: Counts) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        _P + "spool_up",
        "1 while the spool can be written",
        value=not counts.spool_troubles,
    )
    of_sinks = {name: sink.incidents for name, sink in counts.sinks.items()}
    for name, text, attribute in (
        ("files_set_aside", "Damaged files that were renamed", "set_aside"),
        ("files_lost", "Files removed, moved or replaced while in use", "lost"),
    ):
        family = CounterMetricFamily(_P + name, text, labels=["file"])
        for file, incidents in {"spool": spool.incidents, **of_sinks}.items():
            family.add_metric([file], getattr(incidents, attribute))
        yield family


def _of_certificates(expiries: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(
        _P + "certificate_expiry_timestamp_seconds",
        "When a certificate expires, in seconds since 1970",
        labels=["certificate"],
    )
    for name, expiry_s in expiries.items():
        family.add_metric([name], expiry_s)
    return family


def _missing(known: KnownDevice) -> int:
    return known.device.missing


def _histogram(
    name: str,
    text: str,
    latencies: Mapping[tuple[str, ...], Latencies],
    labels: Sequence[str] = (),
) -> Metric:
    family = HistogramMetricFamily(_P + name, text, labels=labels)
    for values, one in latencies.items():
        family.add_metric(values, one.buckets(), one.sum_s)
    return family


_SINK_GAUGES = (
    ("sink_up", "1 while the sink accepts writes", "is_up"),
    ("sink_in_flight", "Messages on their way to the sink", "in_flight"),
    ("sink_spooled", "Messages that wait on this disk", "spooled"),
    ("sink_unaccounted", "Messages that are in no count: must be 0", "unaccounted"),
)
_SINK_COUNTERS = (
    ("sink_written", "Messages stored in the sink", "written"),
    (
        "sink_partial",
        "Messages written without a field that the sink refused; dead letters",
        "partial",
    ),
    ("sink_dead", "Messages that the sink rejected: dead letters", "dead"),
    ("sink_expired", "Messages dropped after spool.max_age_days", "expired"),
    (
        "sink_set_aside",
        "Messages of a damaged spool file, or not stored when the sink was removed",
        "set_aside",
    ),
)


def _of_sinks(counts: Counts) -> Iterator[Metric]:
    for kind, described in (
        (GaugeMetricFamily, _SINK_GAUGES),
        (CounterMetricFamily, _SINK_COUNTERS),
    ):
        for name, text, attribute in described:
            family = kind(_P + name, text, labels=["sink"])
            for sink, sink_counts in counts.sinks.items():
                if not (attribute == "is_up" and sink_counts.is_removed):
                    family.add_metric([sink], getattr(sink_counts, attribute))
            yield family
    yield _histogram(
        "receipt_to_written_seconds",
        "From the receipt of a batch's first message until it was in the sink",
        {(name,): one.receipt_to_written for name, one in counts.sinks.items()},
        labels=["sink"],
    )
    yield _histogram(
        "sink_request_seconds",
        "From a write request until the sink's answer, or its failure",
        {(name,): one.requests for name, one in counts.sinks.items()},
        labels=["sink"],
    )
