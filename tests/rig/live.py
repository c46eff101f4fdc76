"""The live data path: an independent subscriber that decodes with egiz_schema."""

import threading

import paho.mqtt.client as paho
from egiz_schema import decode, influx, parse_topic
from paho.mqtt.enums import CallbackAPIVersion


class LiveSubscriber:
    """What EgizCore would see: every message of `sensors/#`, as points.

    Its session is persistent, so that it misses nothing over a broker's restart. A last
    will has no time of its own and makes no point here; `wills` names its devices.
    """

    def __init__(self, host: str, port: int) -> None:
        self._lock = threading.Lock()
        self._points: dict[tuple[str, str, int], dict[str, influx.Value]] = {}
        self.wills: set[str] = set()
        subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, "live", clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._receive
        self._client.on_connect = lambda client, *_: client.subscribe("sensors/#", 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(host, port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def points(self) -> dict[tuple[str, str, int], dict[str, influx.Value]]:
        """Fields by (kind, device id, time in ms), so far."""
        with self._lock:
            return dict(self._points)

    def close(self) -> None:
        """End."""
        self._client.disconnect()
        self._client.loop_stop()

    def _receive(
        self, _client: object, _data: object, packet: paho.MQTTMessage
    ) -> None:
        topic = parse_topic(packet.topic)
        message = decode(topic, bytes(packet.payload))
        if getattr(message, "timestamp", None) is None:
            self.wills.add(topic.device_id)
            return
        point = influx.to_point(topic, message, 0)
        with self._lock:
            self._points[point.kind, point.device_id, point.time_ms] = point.fields
