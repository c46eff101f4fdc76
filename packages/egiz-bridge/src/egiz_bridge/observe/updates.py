"""Updates of firmware as a Prometheus metric."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from egiz_bridge.ledger.devices import Devices, KnownDevice, Update

_MOST = 100
# Who does not come back is found by waiting; what has ended is news for a while.
_OLDEST_FIRST = ("updating",)
_NEWEST_FIRST = ("rolled_back", "failed", "refused")


def of_updates(devices: Devices) -> Metric:
    """Devices whose update has not ended, or not well.

    The words of the device are labels, because the alert says them; there are at most
    as many series as devices with such an update, and 100 for each state.
    """
    family = GaugeMetricFamily(
        "egiz_bridge_device_update_timestamp_seconds",
        f"Since when an update is in its state; of each at most {_MOST} devices",
        labels=["facility", "device_id", "state", "version", "error"],
    )
    for known, update in _chosen(devices.seen()):
        words = (update.state, update.version, update.error)
        labels = [known.facility, known.device_id, *words]
        family.add_metric(labels, update.since_ms / 1000)
    return family


def _chosen(seen: list[KnownDevice]) -> Iterator[tuple[KnownDevice, Update]]:
    updates = [(one, one.device.update) for one in seen]
    for state in (*_OLDEST_FIRST, *_NEWEST_FIRST):
        found = [(one, up) for one, up in updates if up and up.state == state]
        found.sort(key=_since_ms, reverse=state in _NEWEST_FIRST)
        yield from found[:_MOST]


def _since_ms(found: tuple[KnownDevice, Update]) -> int:
    return found[1].since_ms
