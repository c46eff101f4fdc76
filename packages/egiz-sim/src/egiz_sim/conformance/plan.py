"""How a check is done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a check; times are in seconds but for `interval_ms`.

    Attributes:
        facility: of the topics.
        device_id: of the device.
        proxy_port: where the device connects instead of to the broker, or None.
        interval_ms: `publish_rate_ms` of the configs that are sent.
        wait: for the first message of the device, and for its return.
        answer: for the answer to a config or command.
        outage: how long the connection is cut.
        watch: how long the device is watched if nothing is sent.
        is_passive: send nothing.
        may_reboot: the device may be restarted.
    """

    facility: str
    device_id: str
    proxy_port: int | None = None
    interval_ms: int = 1000
    wait: float = 60.0
    answer: float = 10.0
    outage: float = 5.0
    watch: float = 30.0
    is_passive: bool = False
    may_reboot: bool = False
