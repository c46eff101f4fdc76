"""How each kind of message travels: the table that broker, firmware and docs share."""

from typing import Literal, NamedTuple

from egiz_schema import topics
from egiz_schema.address import Kind

Action = Literal["send", "receive"]


class Delivery(NamedTuple):
    """QoS and retain of a kind; `action` is what the device does with it."""

    kind: str
    action: Action
    qos: Literal[0, 1, 2]
    retain: bool

    @property
    def topic(self) -> str:
        """The topic, with its variable levels in braces."""
        return f"{topics.ROOT}/{{facility}}/{{device_id}}/{self.kind}"


# A retained command would be obeyed again at every connect.
DELIVERY: dict[str, Delivery] = {
    delivery.kind: delivery
    for delivery in (
        Delivery("telemetry", "send", qos=1, retain=True),
        Delivery("status", "send", qos=1, retain=True),
        Delivery("config", "receive", qos=1, retain=True),
        Delivery("command", "receive", qos=1, retain=False),
    )
}


def delivery_of(kind: Kind) -> Delivery:
    """How a kind of message travels.

    >>> delivery_of("command").retain
    False
    """
    return DELIVERY[kind]
