"""An independent publisher, for what no device of ours would send."""

import threading
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from rig.servers import Mosquitto


class Publisher:
    """Publishes at QoS 1, one message after the other; use it as a context manager."""

    def __init__(self, broker: Mosquitto) -> None:
        connected = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "publisher")
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert connected.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish; returns at the PUBACK."""
        sent = self._client.publish(topic, payload, 1, retain)
        sent.wait_for_publish(60)
        assert sent.is_published(), f"no PUBACK for {topic}"
