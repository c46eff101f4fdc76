"""The messages of a load's device: real readings, made before the load begins.

Making one costs four times as much as sending it. A load is to measure the system, so
the readings repeat, while time, seq and boot are those of each message.
"""

from egiz_schema import Health, Telemetry, Topic, encode

from egiz_sim.machine import Machine

_READINGS = 4
_STEP_S = 5.0
# What `encode` writes first; ms, seq and boot follow.
_HEAD = b'{"device_id":"%s","timestamp":%d,'
_TIMESTAMP = 1_700_000_000


class Messages:
    """The telemetry of one device.

    Args:
        facility: of its topic.
        device_id: of topic and payload.
        machine: what it measures.

    Attributes:
        topic: of every message.
    """

    def __init__(self, facility: str, device_id: str, machine: Machine) -> None:
        self.topic = str(Topic(facility, device_id, "telemetry"))
        self._head = _HEAD.replace(b"%s", device_id.encode()).decode()
        self._tails = [_tail(device_id, machine) for _ in range(_READINGS)]
        self._last_ms = 0

    def make(self, time_ms: int, boot: int, seq: int) -> bytes:
        """The payload of this boot and seq; no two of them have the same time."""
        time_ms = self._last_ms = max(time_ms, self._last_ms + 1)
        timestamp, ms = divmod(time_ms, 1000)
        head = f'{self._head % timestamp}"ms":{ms},"seq":{seq},"boot":{boot},'
        return f"{head}{self._tails[seq % _READINGS]}".encode()


def _tail(device_id: str, machine: Machine) -> str:
    """A message from its readings on."""
    whole = encode(
        Telemetry(
            device_id=device_id,
            timestamp=_TIMESTAMP,
            **machine.step(_STEP_S)._asdict(),
            status=Health(operational_state=machine.state),
        )
    )
    head = _HEAD % (device_id.encode(), _TIMESTAMP)
    assert whole.startswith(head), "the contract's order of fields"
    return whole.removeprefix(head).decode()
