"""The live data path: an independent subscriber that decodes with egiz_schema."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import paho.mqtt.client as paho
from egiz_schema import (
    EgizError,
    Kind,
    Message,
    Status,
    Telemetry,
    Topic,
    decode,
    influx,
    parse_topic,
)
from paho.mqtt.enums import CallbackAPIVersion

from rig.waiting import eventually


class LiveSubscriber:
    """What EgizCore would see: every message of `sensors/#`, as points.

    Its session is persistent, so that it misses nothing over a broker's restart. A last
    will has no time of its own and makes no point here; `wills` names its devices.
    """

    def __init__(self, host: str, port: int, client_id: str = "live") -> None:
        self._lock = threading.Lock()
        self._messages: list[tuple[Topic, Message]] = []
        self._points: dict[tuple[str, str, int], Mapping[str, influx.Value]] = {}
        self.wills: set[str] = set()
        self.rejected: list[tuple[str, str]] = []  # (topic, reason)
        subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._receive
        self._client.on_connect = lambda client, *_: client.subscribe("sensors/#", 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(host, port)
        self._client.loop_start()
        assert subscribed.wait(60)

    def points(self) -> dict[tuple[str, str, int], Mapping[str, influx.Value]]:
        """Fields by (kind, device id, time in ms), so far."""
        with self._lock:
            return dict(self._points)

    def messages(self, device_id: str, kind: Kind) -> list[Message]:
        """The messages of a device, so far, in order of receipt, repeats included."""
        with self._lock:
            return [
                message
                for topic, message in self._messages
                if topic.device_id == device_id and topic.kind == kind
            ]

    def first(
        self,
        device_id: str,
        kind: Kind,
        is_so: Callable[[Any], object],
        timeout: float = 60.0,
    ) -> Any:
        """Wait for a message, as `eventually` does, and give the first that fits.

        Args:
            device_id: who sends it.
            kind: of message, as is_so gets them.
            is_so: whether it fits, in the sense of Python.
            timeout: in seconds.
        """

        def found() -> Message | None:
            return next(filter(is_so, self.messages(device_id, kind)), None)

        return eventually(found, timeout)

    def until_offline(self, device_id: str) -> None:
        """Wait for the last status of a device that was stopped.

        What the broker has acknowledged may still be on its way to us; it comes before.
        """

        def is_offline() -> bool:
            last = self.messages(device_id, "status")[-1:]
            return any(isinstance(m, Status) and m.state == "offline" for m in last)

        eventually(is_offline)

    def is_fresh(self, device_id: str, since_s: float) -> bool:
        """Whether telemetry of after `since_s` has come, and not as history.

        So the device is connected again. A count of births does not say so: one may
        have been on its way when the connection broke, and a new fault makes one, too.
        """
        return any(
            not m.buffered and m.timestamp + m.ms / 1000 > since_s
            for m in self.messages(device_id, "telemetry")
            if isinstance(m, Telemetry)
        )

    def publish(self, topic: Topic, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1, as a service would; returns once it is acknowledged."""
        eventually(self._client.is_connected)  # the broker may have just come back
        sent = self._client.publish(str(topic), payload, 1, retain)
        sent.wait_for_publish(60)
        assert sent.is_published(), f"no PUBACK for {topic}"

    def close(self) -> None:
        """End."""
        self._client.disconnect()
        self._client.loop_stop()

    def _receive(
        self, _client: object, _data: object, packet: paho.MQTTMessage
    ) -> None:
        try:
            topic = parse_topic(packet.topic)
            message = decode(topic, bytes(packet.payload))
        except EgizError as error:
            self.rejected.append((packet.topic, error.reason))
            return
        with self._lock:
            self._messages.append((topic, message))
        if getattr(message, "timestamp", None) is None:
            if isinstance(message, Status):  # a config or command has none, either
                self.wills.add(topic.device_id)
            return
        point = influx.to_point(topic, message, 0)
        with self._lock:
            self._points[point.kind, point.device_id, point.time_ms] = point.fields
