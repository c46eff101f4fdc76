"""One connection to the broker: handshake, reading, acknowledging, keepalive."""

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from egiz_bridge.errors import MqttError
from egiz_bridge.mqtt import packets
from egiz_bridge.mqtt.broker import Broker
from egiz_bridge.mqtt.pace import Pace
from egiz_bridge.mqtt.reader import PacketReader
from egiz_bridge.mqtt.tcp import STOPPED, connected
from egiz_bridge.mqtt.terms import shortfalls
from egiz_bridge.mqtt.tls import TLS_HINTS, rest_of_records, tls_error, wrap_tls

CONNECT_TIMEOUT_S = 5.0
# From CONNECT to SUBACK; between them, the messages of a resumed session may come.
HANDSHAKE_S = 15.0
# Of such messages: then they are worked on, and the SUBACK is read when it comes.
EARLY_BYTES_MAX = 1024**2
_LOOK_EVERY_S = 0.25
# A full window of PUBACKs is 40 KB: a broker that does not read it in time is dead.
WRITE_TIMEOUT_S = 10.0
# How long a broker may need to close the connection after a DISCONNECT.
CLOSE_TIMEOUT_S = 5.0
KEEPALIVE_S = 30

# What may be unacknowledged at once: rate times linger and write time. 10,000 messages
# a second for half a second, doubled.
RECEIVE_MAXIMUM = 10_000
# Payloads are 4 KiB at most, and one that is too large should still be seen: it is a
# dead letter. The broker drops what is larger than this (MQTT 5, 3.1.2.11.4); with
# 3.1.1, it is read past.
MAXIMUM_PACKET_BYTES = 1024**2

_READ_BYTES = 256 * 1024
_SUBSCRIBE_ID, _UNSUBSCRIBE_ID = 1, 2  # one of each on a connection


class Connection:
    """A subscribed connection; `open_connection` makes it.

    Attributes:
        version: of MQTT, as in CONNECT.
        session_present: the broker had kept our session.
        shortfalls: what it granted less of than was asked for, in sentences.
        is_held: it is not read for now, so that answers to pings cannot be seen.
    """

    def __init__(
        self, sock: socket.socket, version: int, should_stop: Callable[[], bool]
    ) -> None:
        self.version = version
        self.session_present = False
        self.shortfalls: list[str] = []
        self.is_held = False
        self._sock = sock
        self._should_stop = should_stop
        self._subscriptions = 0
        self._reader = PacketReader(version, MAXIMUM_PACKET_BYTES)
        self._pace = Pace()
        self._early: list[packets.Publish] = []
        self._early_bytes = 0
        self._keepalive_s = float(KEEPALIVE_S)
        self._ping_due = 0.0
        self._pinged = False

    def fileno(self) -> int:
        """For a selector."""
        return self._sock.fileno()

    def certificate_expiry_s(self) -> float | None:
        """Expiry of the broker's certificate, in seconds since 1970, if it has one."""
        if not isinstance(self._sock, ssl.SSLSocket):
            return None
        certificate = self._sock.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))

    def handshake(self, broker: Broker) -> list[packets.Publish]:
        """CONNECT and SUBSCRIBE; gives what the broker sent before its SUBACK."""
        begun_s = time.monotonic()
        terms = packets.Terms(
            KEEPALIVE_S, broker.session_expiry_s, RECEIVE_MAXIMUM, MAXIMUM_PACKET_BYTES
        )
        connect = packets.connect(
            self.version, broker.client_id, broker.credentials, terms
        )
        self._sock.sendall(connect)
        granted = self._await_connack(begun_s + CONNECT_TIMEOUT_S)
        self.session_present = granted.session_present
        self.shortfalls = list(shortfalls(terms, granted))
        self._keepalive_s = float(granted.keepalive_s or KEEPALIVE_S)
        # Always: a broker that lost the session would otherwise send nothing, for ever.
        self._subscriptions = len(broker.filters)
        self._send(packets.subscribe(self.version, _SUBSCRIBE_ID, broker.filters))
        if obsolete := broker.obsolete_filters:
            self._send(packets.unsubscribe(self.version, _UNSUBSCRIBE_ID, obsolete))
        return self._await_suback(begun_s + HANDSHAKE_S)

    def read(self) -> list[packets.Publish]:
        """The messages of one read of the socket.

        Raises:
            MqttError, OSError: if the connection is over.
        """
        messages, others = self._receive()
        self._handle_control(others)
        return messages

    def pause_s(self, now_s: float) -> float:
        """How long reading may wait for more to come; 0 if it may not."""
        return self._pace.pause_s(now_s)

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Send PUBACKs, in the order given."""
        self._send(packets.pubacks(packet_ids))

    def keep_alive(self) -> None:
        """Ping when nothing was sent for two thirds of the keepalive.

        Raises:
            MqttError: if the broker owes an answer to the last ping.
        """
        if time.monotonic() < self._ping_due:
            return
        if self._pinged and not self.is_held:
            raise MqttError("no answer to a ping: the broker or the network hangs")
        self._send(packets.PINGREQ_PACKET)
        self._pinged = not self.is_held

    def disconnect(self) -> int:
        """Send DISCONNECT; the session stays with the broker.

        Reads until the broker closes: to close with something unread resets the
        connection, and the last PUBACKs may be lost.

        Returns:
            How many messages (QoS 1) arrived after DISCONNECT was sent. They are not
            processed; the broker will send them again.
        """
        self._send(packets.DISCONNECT_PACKET)
        arrived_late = 0
        until = time.monotonic() + CLOSE_TIMEOUT_S
        with suppress(MqttError, OSError):
            while (left := until - time.monotonic()) > 0:
                self._sock.settimeout(left)
                messages, _ = self._receive()
                arrived_late += sum(1 for message in messages if message.packet_id)
        self.close()
        return arrived_late

    def close(self) -> None:
        """Close without DISCONNECT."""
        self._sock.close()

    def _await_connack(self, until_s: float) -> packets.ConnAck:
        try:
            others = self._first_packets(until_s)
        except (MqttError, ConnectionError, TimeoutError) as error:
            # How a broker of 3.1.1 alone may answer a CONNECT of MQTT 5: it says so,
            # breaks off or, as amqtt does, says nothing at all.
            raise MqttError(
                f"no CONNACK: {error} (if this port speaks TLS, is mqtts:// meant?)",
                wants_older_protocol=self.version == packets.MQTT_5,
            ) from error
        (kind, body), *_ = others
        if kind != packets.CONNACK:
            raise MqttError("the first packet was no CONNACK: not an MQTT broker?")
        return packets.parse_connack(self.version, body)

    def _first_packets(self, until_s: float) -> list[packets.Control]:
        while not (others := self._others(until_s)):
            if self._early:
                raise MqttError("the first packet was a message")
        return others

    def _await_suback(self, until_s: float) -> list[packets.Publish]:
        """Wait for it; gives what a resumed session, which does not wait, has sent.

        If that is much, or the link slow, it is not waited for any longer.
        """
        while self._early_bytes < EARLY_BYTES_MAX:
            try:
                others = self._others(until_s)
            except TimeoutError:
                if not self._early:
                    raise MqttError("no SUBACK: timed out") from None
                break
            self._handle_control(others)
            if any(other.kind == packets.SUBACK for other in others):
                break
        early, self._early = self._early, []
        return early

    def _others(self, until_s: float) -> list[packets.Control]:
        """Read once, packets that are no messages; keep the messages.

        Raises:
            TimeoutError: there is nothing to be read until then.
            MqttError: the bridge is to stop; or as `read`.
        """
        while (left := until_s - time.monotonic()) > 0:
            if self._should_stop():
                raise MqttError(STOPPED)
            self._sock.settimeout(min(left, _LOOK_EVERY_S))
            with suppress(TimeoutError):
                messages, others = self._receive()
                self._early += messages
                self._early_bytes += sum(
                    len(m.topic) + len(m.payload) for m in messages
                )
                return others
        raise TimeoutError("timed out")

    def _receive(self) -> tuple[list[packets.Publish], list[packets.Control]]:
        data = self._sock.recv(_READ_BYTES)
        if not data:
            raise MqttError("the broker closed the connection")
        if isinstance(self._sock, ssl.SSLSocket):
            data += rest_of_records(self._sock, _READ_BYTES)
        self._pace.was_read(len(data), time.monotonic())
        self._pinged = False  # a large packet may be long on its way before a PINGRESP
        return self._reader.feed(data)

    def _handle_control(self, controls: list[packets.Control]) -> None:
        for kind, body in controls:
            if kind == packets.SUBACK:
                packets.parse_suback(body, self._subscriptions)
            elif kind in (packets.PINGRESP, packets.UNSUBACK):
                pass  # unsubscribed or not: the bridge works without it
            elif kind == packets.DISCONNECT:
                code = body[0] if body else 0
                raise MqttError(
                    f"disconnected: {packets.explain(code)}",
                    is_takeover=code == packets.TAKEN_OVER,
                )
            else:
                raise MqttError(f"the broker sent a packet of type {kind}: is it one?")

    def _send(self, packet: bytes) -> None:
        self._sock.sendall(packet)
        self._ping_due = time.monotonic() + self._keepalive_s * 2 / 3


def try_login(broker: Broker) -> bool:
    """Log in and out under another client id; what is queued for the bridge stays.

    Gives whether the broker gave us the bridge's session all the same: Mosquitto with
    use_username_as_clientid has a single session for each user name.

    Raises:
        MqttError, OSError: with the broker's reason.
    """
    client_id = f"{broker.client_id}-check-{secrets.token_hex(4)}"
    probing = replace(broker, client_id=client_id)
    connection, _ = open_connection(probing)
    connection.disconnect()
    if connection.session_present:
        return True
    # The session is ours, and new: connect again with expiry 0, which deletes it.
    connection, _ = open_connection(replace(probing, session_expiry_s=0))
    connection.disconnect()
    return False


def open_connection(
    broker: Broker, should_stop: Callable[[], bool] = lambda: False
) -> tuple[Connection, list[packets.Publish]]:
    """Connect and subscribe, with MQTT 5 or, where it is not spoken, 3.1.1.

    Args:
        broker: where, and as whom.
        should_stop: asked now and then whether to give up.

    Raises:
        MqttError, OSError: with the broker's reason.
    """
    try:
        return _open(broker, packets.MQTT_5, should_stop)
    except MqttError as error:
        if not error.wants_older_protocol or should_stop():
            raise
        return _open(broker, packets.MQTT_311, should_stop)


def _open(
    broker: Broker, version: int, should_stop: Callable[[], bool]
) -> tuple[Connection, list[packets.Publish]]:
    sock = connected(broker.host, broker.port, CONNECT_TIMEOUT_S, should_stop)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if broker.tls:
            sock = wrap_tls(broker.tls, sock, broker.host)
        connection = Connection(sock, version, should_stop)
        messages = connection.handshake(broker)
        sock.settimeout(WRITE_TIMEOUT_S)
    except ssl.SSLError as error:
        sock.close()
        raise MqttError(tls_error(error), is_refusal=True) from error
    except ConnectionError as error:
        sock.close()
        if not broker.tls:
            raise
        # With TLS 1.3 the broker refuses after our side of the handshake is done, and
        # its alert is lost if the reset is faster.
        raise MqttError(f"TLS: {error} ({TLS_HINTS['eof occurred']})") from error
    except BaseException:
        sock.close()
        raise
    return connection, messages
