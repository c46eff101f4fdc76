"""The accounts as Prometheus metrics, one consistent snapshot per scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from egiz_bridge.accounts import Accounts, Books
from egiz_bridge.connection import RECEIVE_MAXIMUM
from egiz_bridge.spool import Spool

_P = "egiz_bridge_"


class AccountsCollector(Collector):
    """Reads the accounts when Prometheus asks; nothing is counted twice."""

    def __init__(self, accounts: Accounts, spool: Spool) -> None:
        self._accounts = accounts
        self._spool = spool

    def collect(self) -> Iterator[Metric]:
        """All metrics of the bridge."""
        books = self._accounts.snapshot()
        yield from _of_mqtt(books)
        yield from _of_sinks(books)
        yield CounterMetricFamily(
            _P + "dead_letters_dropped",
            "Oldest dead letters that made room for newer ones",
            value=self._spool.dead_dropped,
        )


def _of_mqtt(books: Books) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        _P + "mqtt_connected", "1 while subscribed", value=books.is_connected
    )
    yield GaugeMetricFamily(
        _P + "mqtt_receive_maximum_messages",
        "Messages that the broker may have unacknowledged",
        value=RECEIVE_MAXIMUM,
    )
    yield GaugeMetricFamily(
        _P + "mqtt_unacknowledged_messages",
        "Messages received at QoS 1 and not acknowledged yet",
        value=books.unacknowledged,
    )
    for name, text, value in (
        ("mqtt_sessions_lost", "Sessions the broker forgot", books.sessions_lost),
        ("messages_redelivered", "Sent again by the broker (DUP)", books.redelivered),
        ("mqtt_connections", "Times the bridge subscribed", books.connections),
        ("messages_received", "PUBLISH packets, repeats included", books.received),
        ("messages_accepted", "Offered to every sink", books.accepted),
        ("messages_acknowledged", "PUBACKs sent", books.acknowledged),
    ):
        yield CounterMetricFamily(_P + name, text, value=value)
    for name, text, counts in (
        ("messages_rejected", "Not of the contract: dead letters", books.rejected),
        ("messages_skipped", "Of the contract, and not to be stored", books.skipped),
    ):
        family = CounterMetricFamily(_P + name, text, labels=["reason"])
        for reason, count in counts.items():
            family.add_metric([reason], count)
        yield family


def _of_sinks(books: Books) -> Iterator[Metric]:
    for name, text, attribute in (
        ("sink_up", "1 while the sink takes writes", "is_up"),
        ("sink_in_flight", "Messages on their way to the sink", "in_flight"),
        ("sink_spooled", "Messages that wait on this disk", "spooled"),
        ("sink_unaccounted", "Messages that are nowhere: must be 0", "unaccounted"),
    ):
        gauge = GaugeMetricFamily(_P + name, text, labels=["sink"])
        for sink, account in books.sinks.items():
            gauge.add_metric([sink], getattr(account, attribute))
        yield gauge
    for name, text, attribute in (
        ("sink_written", "Messages stored in the sink", "written"),
        ("sink_dead", "Messages that the sink rejected: dead letters", "dead"),
    ):
        counter = CounterMetricFamily(_P + name, text, labels=["sink"])
        for sink, account in books.sinks.items():
            counter.add_metric([sink], getattr(account, attribute))
        yield counter
