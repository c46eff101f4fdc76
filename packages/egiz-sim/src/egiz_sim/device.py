"""A light device: a machine, a connection of its own, and counts of its messages."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from egiz_schema import Health, Status, Telemetry, Topic, encode

from egiz_sim import __version__
from egiz_sim.broker import Broker
from egiz_sim.machine import Machine
from egiz_sim.mqtt import Outstanding, Publisher

SCHEMA = "1"
FIRMWARE = f"sim-{__version__}"
_BOOT = 1


@dataclass(slots=True)
class Counts:
    """Messages of one device, by kind: telemetry and status."""

    published: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)


class Device:
    """Publishes what its machine's sensors read.

    Args:
        broker: where it connects.
        facility: of its topics, as `egiz_schema.topics.is_facility` allows.
        device_id: of its topics and payloads; also its client id.
        machine: what it measures.
        on_latency: called with the seconds from each publish to its PUBACK.
    """

    def __init__(
        self,
        broker: Broker,
        facility: str,
        device_id: str,
        machine: Machine,
        on_latency: Callable[[float], None],
    ) -> None:
        self.device_id = device_id
        self.counts = Counts()
        self.last: Telemetry | None = None
        self._machine = machine
        self._on_latency = on_latency
        self._telemetry = str(Topic(facility, device_id, "telemetry"))
        self._status = str(Topic(facility, device_id, "status"))
        self._seq = 0
        self._last_ms = {"telemetry": 0, "status": 0}
        self._started_ms = 0
        will = encode(Status(device_id=device_id, state="offline", boot=_BOOT))
        self.publisher = Publisher(
            broker, device_id, (self._status, will), self._connected, self._acknowledged
        )

    def publish(self, time_ms: int, seconds: float) -> None:
        """Let `seconds` pass and publish the reading, as of `time_ms` since 1970.

        If the reading before has this time, or a later one, it is a millisecond later.

        Raises:
            OverflowError: if 65,535 messages of this device wait for their PUBACK.
        """
        reading = self._machine.step(seconds)
        time_ms = self._stamp_ms("telemetry", time_ms)
        self._started_ms = self._started_ms or time_ms
        self.last = Telemetry(
            device_id=self.device_id,
            timestamp=time_ms // 1000,
            ms=time_ms % 1000,
            seq=self._seq,
            boot=_BOOT,
            **reading._asdict(),
            status=Health(
                operational_state=self._machine.state,
                wifi_rssi=int(self._machine.rng.gauss(-62, 3)),
                uptime_seconds=(time_ms - self._started_ms) // 1000,
            ),
        )
        self._seq += 1
        self._send("telemetry", self._telemetry, encode(self.last))

    def report_offline(self) -> None:
        """Publish offline: the last message of a device that stops in good order."""
        self._report("offline")

    def _connected(self) -> None:
        self._report("online")

    def _report(self, state: str) -> None:
        time_ms = self._stamp_ms("status", time.time_ns() // 1_000_000)
        status = Status(
            device_id=self.device_id,
            timestamp=time_ms // 1000,
            ms=time_ms % 1000,
            state=state,
            boot=_BOOT,
            schema=SCHEMA,
            firmware_version=FIRMWARE,
            channels=self._machine.channels or None,
        )
        self._send("status", self._status, encode(status))

    def _stamp_ms(self, kind: str, time_ms: int) -> int:
        """`time_ms` or later: two of one instant are one point in a database."""
        self._last_ms[kind] = max(time_ms, self._last_ms[kind] + 1)
        return self._last_ms[kind]

    def _send(self, kind: str, topic: str, payload: bytes) -> None:
        self.counts.published[kind] += 1
        self.publisher.publish(topic, payload)

    def _acknowledged(self, message: Outstanding, latency_s: float) -> None:
        kind = "telemetry" if message.topic == self._telemetry else "status"
        self.counts.acknowledged[kind] += 1
        self._on_latency(latency_s)
