"""`egiz-bridge tail`: live messages, decoded, beside the bridge."""

import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

import click
import paho.mqtt.client as paho
from egiz_schema import EgizError, Topic, decode, influx, parse_topic, topics
from paho.mqtt.enums import CallbackAPIVersion

from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt.broker import Broker
from egiz_bridge.mqtt.connection import try_login

_CONNECT_TIMEOUT_S = 5.0
_WAIT_S = 0.2  # for a packet
_RETRY_S = 1.0


class LiveMessage(NamedTuple):
    """A message; it has a point, or a reason why it does not follow the contract."""

    topic: str
    received_s: float
    point: influx.Point | None
    reason: str = ""
    detail: str = ""

    def as_json(self) -> str:
        """One line for scripts."""
        document = {"topic": self.topic, "received_s": round(self.received_s, 3)}
        if self.point is None:
            return json.dumps(document | {"reason": self.reason, "detail": self.detail})
        fields = dict(self.point.fields)
        return json.dumps(document | {"time_ms": self.point.time_ms, "fields": fields})


@dataclass(frozen=True)
class Filter:
    """Which messages are shown: globs, as in a shell."""

    facility: str = "*"
    device: str = "*"
    kind: str = "*"

    def wants(self, topic: str) -> bool:
        """Whether a message is shown; without a valid topic, if nothing filters."""
        try:
            found = parse_topic(topic)
        except EgizError:
            return self == Filter()
        return (
            fnmatchcase(found.facility, self.facility)
            and fnmatchcase(found.device_id, self.device)
            and fnmatchcase(found.kind, self.kind)
        )


class Rates:
    """Messages by facility since the last look."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._since_s = time.monotonic()
        self._valid: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._devices: dict[str, set[str]] = {}

    def count(self, seen: LiveMessage) -> None:
        """Enter a message."""
        if seen.point is None:
            self._rejected[_facility_of(seen.topic)] += 1
            return
        facility = seen.point.facility
        self._valid[facility] += 1
        self._devices.setdefault(facility, set()).add(seen.point.device_id)

    def pop(self) -> list[tuple[str, float, float, int]]:
        """(facility, messages/s, rejects/s, devices), and begin again."""
        elapsed_s = max(time.monotonic() - self._since_s, 1e-9)
        counted = [
            (
                facility,
                self._valid[facility] / elapsed_s,
                self._rejected[facility] / elapsed_s,
                len(self._devices.get(facility, ())),
            )
            for facility in sorted(self._valid.keys() | self._rejected.keys())
        ]
        self._reset()
        return counted


def live(
    brokers: Sequence[Broker], *, retained: bool
) -> Generator[LiveMessage | None, None, None]:
    """Messages as they arrive, for ever; None now and then while none arrives.

    It connects again when the broker is back, and says so on stderr. There is no
    thread: Ctrl-C in any place ends all of it. Close it: it has a connection.

    Raises:
        MqttError: the broker can be reached at no address, or refuses.
    """
    broker, has_session = _first_reached(brokers)
    if has_session:
        raise MqttError(
            f"{broker} has one session for each user name, and this one's is the"
            " bridge's: give another account, with EGIZ_BRIDGE_MQTT_USERNAME and"
            " EGIZ_BRIDGE_MQTT_PASSWORD_FILE"
        )
    arrived: deque[paho.MQTTMessage] = deque()
    client = _client(broker, arrived)
    try:
        _connect(client, broker)
        while True:
            if client.loop(_WAIT_S) is not paho.MQTT_ERR_SUCCESS:
                _reconnect(client, broker)
            if not arrived:
                yield None
            while arrived:
                message = arrived.popleft()
                if retained or not message.retain:
                    yield _seen(message)
    finally:
        client.disconnect()


def _client(broker: Broker, arrived: "deque[paho.MQTTMessage]") -> paho.Client:
    """A client; its `user_data` is the answer to its CONNECT, None until that came."""
    client_id = f"{broker.client_id}-tail-{secrets.token_hex(4)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id)
    client.on_message = lambda _client, _data, message: arrived.append(message)
    client.on_connect = lambda client, _data, _flags, code, _properties: (
        client.user_data_set(code)
    )
    if broker.credentials:
        client.username_pw_set(*broker.credentials)
    if broker.tls:
        client.tls_set_context(broker.tls)
    return client


def _connect(client: paho.Client, broker: Broker) -> None:
    """Connect and subscribe; raises MqttError."""
    client.user_data_set(None)
    # With TLS, paho looks for this name in the certificate, too: without the root.
    host = broker.host.removesuffix(".") if broker.tls else broker.host
    try:
        client.connect(host, broker.port)
    except OSError as error:
        raise MqttError(f"{broker}: {error.strerror or error}") from None
    until = time.monotonic() + _CONNECT_TIMEOUT_S
    while (code := client.user_data_get()) is None:
        is_lost = client.loop(_WAIT_S) is not paho.MQTT_ERR_SUCCESS
        if (is_lost and client.user_data_get() is None) or time.monotonic() > until:
            raise MqttError(f"{broker} does not answer as an MQTT broker")
    if code.is_failure:
        raise MqttError(f"{broker} refuses: {code}")
    client.subscribe(topics.WILDCARD, 0)


def _reconnect(client: paho.Client, broker: Broker) -> None:
    """Try until the broker is back; what was published meanwhile is not shown."""
    click.echo(f"{broker}: connection lost; connecting again", err=True)
    while True:
        try:
            return _connect(client, broker)
        except MqttError:
            time.sleep(_RETRY_S)


def _first_reached(brokers: Sequence[Broker]) -> tuple[Broker, bool]:
    """The first that lets us in, and whether it gave us the bridge's session."""
    problems = []
    for broker in brokers:
        try:
            return broker, try_login(broker)
        except OSError as error:
            problems.append(f"{broker}: {error.strerror or error}")
        except MqttError as error:
            problems.append(str(error))
    raise MqttError("; ".join(problems))


def _seen(message: paho.MQTTMessage) -> LiveMessage:
    now_s = time.time()
    try:
        topic = parse_topic(message.topic)
        decoded = decode(topic, bytes(message.payload))
        point = influx.to_point(topic, decoded, int(now_s * 1000))
    except EgizError as error:
        return LiveMessage(message.topic, now_s, None, error.reason, str(error))
    return LiveMessage(message.topic, now_s, point)


def _facility_of(topic: str) -> str:
    try:
        found: Topic = parse_topic(topic)
    except EgizError:
        return "?"
    return found.facility
