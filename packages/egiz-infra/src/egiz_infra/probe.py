"""A client of MQTT 5 that finds out what the broker allows.

MQTT 3.1.1 has no answer to a publish that was denied: a PUBACK comes all the same.
"""

import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from egiz_cli import explain_refusal
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from egiz_infra.errors import NoAnswer, Refused

NOT_AUTHORISED = 0x87

_TIMEOUT_S = 5.0
_TURN_S = 0.02
_FOR_EVER = 0xFFFFFFFF
_IN_FLIGHT = 1000


@dataclass(frozen=True, slots=True)
class Login:
    """Where to connect, and with what: a password, or a certificate."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Probe:
    """A connection, as a context manager.

    Args:
        login: where to connect, and with which account.
        client_id: random, unless the probe is about the client id.
        keeps_session: continue the session of this client id and keep it with its
            queue; else start a new one, which ends with the connection.
        will: topic and payload of a last will.

    Raises:
        Refused: if the broker refuses the connection.
        NoAnswer: if it has not answered in time.
    """

    def __init__(
        self,
        login: Login,
        client_id: str = "",
        *,
        keeps_session: bool = False,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self._login = login
        self._answer: ReasonCode | None = None
        self._acks: dict[int, int] = {}
        self.session_present = False
        self.received: list[paho.MQTTMessage] = []
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id or f"probe-{secrets.token_hex(4)}",
            protocol=paho.MQTTv5,
            manual_ack=keeps_session,
        )
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.connect_timeout = _TIMEOUT_S
        client.username_pw_set(login.username, login.password)
        if login.tls is not None:
            client.tls_set_context(login.tls)
        if will:
            client.will_set(*will, qos=1)
        client.on_connect = self._connected
        client.on_publish = self._published
        client.on_message = lambda _c, _d, message: self.received.append(message)
        try:
            self._connect(keeps_session)
        except Refused:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect, if the connection is open."""
        self._client.disconnect()
        self.die()

    def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> int:
        """Publish at QoS 1; returns the reason code of the PUBACK (0x87: denied).

        Raises:
            Refused: if the connection ends instead.
        """
        return self.publish_all([(topic, payload, retain)])[0]

    def publish_all(self, messages: list[tuple[str, bytes, bool]]) -> list[int]:
        """Publish several at once; returns their reason codes."""
        sent = [
            self._client.publish(topic, payload, 1, retain).mid
            for topic, payload, retain in messages
        ]
        self._until(lambda: all(mid in self._acks for mid in sent))
        return [self._acks.pop(mid) for mid in sent]

    def subscribe(self, *filters: str) -> None:
        """Subscribe at QoS 1; Mosquitto always grants it, and filters on delivery."""
        granted: list[int] = []
        self._client.on_subscribe = lambda _c, _d, mid, _r, _p: granted.append(mid)
        self._client.subscribe([(one, SubscribeOptions(qos=1)) for one in filters])
        self._until(lambda: granted)

    def die(self) -> None:
        """Close without a DISCONNECT, so that the broker publishes the will."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def certificate(self) -> bytes:
        """The certificate that the broker has shown, in DER."""
        sock = self._client.socket()
        assert isinstance(sock, ssl.SSLSocket)
        shown = sock.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def turn(self, seconds: float = _TURN_S) -> bool:
        """Receive what has arrived; returns whether the connection is open."""
        return self._client.loop(seconds) == paho.MQTT_ERR_SUCCESS

    def _connect(self, keeps_session: bool) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # of paho
        properties.SessionExpiryInterval = _FOR_EVER if keeps_session else 0
        try:
            self._client.connect(
                self._login.host,
                self._login.port,
                clean_start=not keeps_session,
                properties=properties,
            )
        except TimeoutError as error:
            raise NoAnswer(f"{self._login}: {error}") from None
        except OSError as error:  # ssl.SSLError is one
            raise Refused(f"{self._login}: {error}") from None
        self._until(lambda: self._answer is not None)
        assert self._answer is not None
        if self._answer.is_failure:
            raise Refused(f"{self._login}: {explain_refusal(self._answer.value)}")

    def _until(self, is_so: Callable[[], object]) -> None:
        until = time.monotonic() + _TIMEOUT_S
        while not is_so():
            if not self.turn():
                raise Refused(f"{self._login}: the broker closed the connection")
            if time.monotonic() > until:
                raise NoAnswer(f"{self._login}: no answer within {_TIMEOUT_S:.0f} s")

    def _connected(
        self,
        _client: paho.Client,
        _data: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._answer = reason
        self.session_present = flags.session_present

    def _published(
        self,
        _client: paho.Client,
        _data: Any,
        mid: int,
        reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._acks[mid] = reason.value
