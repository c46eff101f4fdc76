"""Updates of firmware as a Prometheus metric."""

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from egiz_bridge.ledger.devices import Devices

_MOST = 100
_ENDED_WELL = "done"


def of_updates(devices: Devices) -> Metric:
    """Devices whose update has not ended well, or not ended.

    The words of the device are labels, because the alert says them; there are at most
    as many series as devices with an update, and 100.
    """
    family = GaugeMetricFamily(
        "egiz_bridge_device_update_timestamp_seconds",
        f"Since when an update is as it is; the {_MOST} newest that are not done",
        labels=["facility", "device_id", "state", "version", "error"],
    )
    found = [
        (update.since_ms, known.facility, known.device_id, update)
        for known in devices.seen()
        if (update := known.device.update) and update.state != _ENDED_WELL
    ]
    for since_ms, facility, device_id, update in sorted(found, reverse=True)[:_MOST]:
        labels = [facility, device_id, update.state, update.version, update.error]
        family.add_metric(labels, since_ms / 1000)
    return family
