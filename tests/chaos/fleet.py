"""Devices that publish all the time, repeats and nonsense included."""

import json
import os
import random
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rig import stored  # noqa: TC002  # for types, as in all of the rig
from rig.servers import Mosquitto
from rig.waiting import eventually

DEVICES = 50
RATE = 300
NONSENSE = [
    ("sensors/factory/oven-001/telemetry", b"{"),
    ("sensors/factory/oven-001/telemetry", os.urandom(200)),
    ("sensors/factory/oven-001/telemetry", b'{"device_id":"oven-002"}'),
    ("sensors/../x", b"x"),
    ("sensors/factory/oven-001/telemetry", b"[" * 5000),
]


class Fleet(threading.Thread):
    """Publishes as devices do; knows what it has published, and what had a PUBACK.

    Attributes:
        sent: messages, repeats and nonsense included.
        points: what is to be stored.
    """

    def __init__(self, broker: Mosquitto, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._ending = threading.Event()
        self._may_publish = threading.Event()
        self._may_publish.set()
        self._publishing = threading.Lock()
        self._sequence = 0
        self.sent = self._acknowledged = 0
        # Six seconds of a device's time pass in one: never ahead of the clock.
        self._begin_s = int(time.time()) - 86_400
        self.points: stored.Points = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, "fleet", clean_session=False
        )
        self._client.on_publish = self._is_acknowledged
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def run(self) -> None:
        """Until `finish`."""
        while not self._ending.is_set():
            self._may_publish.wait()
            with self._publishing:
                if self._may_publish.is_set():  # not paused meanwhile
                    self._publish_some()
            self._ending.wait(0.05)

    @property
    def now_ms(self) -> int:
        """The time of the devices: what they publish from now on is not older."""
        return (self._begin_s + self._sequence // DEVICES) * 1000

    def pause(self) -> None:
        """Publish nothing; returns when the broker has acknowledged everything."""
        with self._publishing:
            self._may_publish.clear()
        eventually(self._all_acknowledged, timeout=60)

    def resume(self) -> None:
        """Publish again."""
        self._may_publish.set()

    def finish(self) -> None:
        """End; returns when the broker has acknowledged everything."""
        self._ending.set()
        self.resume()
        self.join()
        eventually(self._all_acknowledged, timeout=60)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish_some(self) -> None:
        for _ in range(RATE // 20):
            self._publish_one()
        if self._rng.random() < 0.05:
            self._flood()

    def _is_acknowledged(self, *_: object) -> None:
        self._acknowledged += 1

    def _all_acknowledged(self) -> bool:
        return self._acknowledged == self.sent

    def _publish_one(self) -> None:
        seq, unit = divmod(self._sequence, DEVICES)
        self._sequence += 1
        device, time_s = f"oven-{unit:03}", self._begin_s + seq
        reading = seq % 4000 / 4  # of a furnace, for however long it runs
        message = {
            "device_id": device,
            "timestamp": time_s,
            "seq": seq,
            "boot": 1,
            "thermal": {"setpoint": reading},
        }
        topic = f"sensors/factory/{device}/telemetry"
        for _ in range(2 if self._rng.random() < 0.05 else 1):  # some come twice
            self._send(topic, json.dumps(message).encode())
        self.points["telemetry", device, time_s * 1000] = {
            "seq": seq,
            "boot": 1,
            "thermal_setpoint": reading,
        }

    def _flood(self) -> None:
        for _ in range(50):
            self._send(*self._rng.choice(NONSENSE))

    def _send(self, topic: str, payload: bytes) -> None:
        self.sent += 1
        self._client.publish(topic, payload, 1)
