"""A client that is no device of ours: each of its messages breaks the contract."""

import itertools

from egiz_schema import Topic

from egiz_sim.broker import Broker
from egiz_sim.mqtt import Outstanding, Publisher

DEVICE_ID = "rogue-001"
_TOO_LONG = 5000
_PAYLOADS = (
    b"not JSON",
    b'{"device_id":"oven-001","timestamp":1780000000}',
    b'{"device_id":"rogue-001","timestamp":1780000000}',
    b'{"device_id":"rogue-001","timestamp":"now","thermal":{"setpoint":1}}',
    b'{"device_id":"rogue-001","timestamp":1780000000,"thermal":{"setpoint":1}',
    b" " * _TOO_LONG,
    b"\xff\xfe",
    b"[" * 1000,
)


class RogueDevice:
    """Publishes at QoS 1, not retained.

    Attributes:
        published: messages, so far.
        acknowledged: how many of them the broker has acknowledged.
    """

    def __init__(self, broker: Broker, facility: str) -> None:
        self._topic = str(Topic(facility, DEVICE_ID, "telemetry"))
        self._payloads = itertools.cycle(_PAYLOADS)
        self.published = self.acknowledged = 0
        self.publisher = Publisher(
            broker, DEVICE_ID, None, lambda: None, self._acknowledged
        )

    def publish(self) -> None:
        """The next wrong message."""
        self.published += 1
        self.publisher.publish(self._topic, next(self._payloads), retain=False)

    def _acknowledged(self, message: Outstanding, latency_s: float) -> None:
        del message, latency_s
        self.acknowledged += 1
