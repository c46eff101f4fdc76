"""A publisher of MQTT 3.1.1 for asyncio: QoS 1, retained, with a last will.

Thousands fit in one process: no thread, no task for a message. What is unacknowledged
outlives a connection and is sent again, in order, on the next one.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from egiz_cli import explain_refusal

from egiz_sim import packets
from egiz_sim.broker import Broker

_CONNECT_TIMEOUT_S = 5.0
_BACKOFF_FIRST_S = 0.25
_BACKOFF_DOUBLINGS = 5  # to 8 s
_PACKET_IDS = 65535


@dataclass(slots=True)
class Outstanding:
    """A message that waits for its PUBACK."""

    topic: str
    payload: bytes
    sent: float  # monotonic seconds, when it was first handed over
    number: int = 0  # by which the one that published it knows it


class Publisher:
    """Publishes for one device until it is closed.

    Args:
        broker: where it connects.
        client_id: of the device.
        will: (topic, payload) that the broker publishes if the connection breaks.
        on_connect: called at each connection before anything is sent again.
        on_ack: called with each acknowledged message and its latency in seconds.

    Attributes:
        connections: how often the broker has accepted a connection.
        resent: messages that were sent again at a new connection.
        error: why the last attempt or connection failed.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: tuple[str, bytes],
        on_connect: Callable[[], None],
        on_ack: Callable[[Outstanding, float], None],
    ) -> None:
        self._broker = broker
        self._tls = broker.tls.context(client_id) if broker.tls else None
        self._connect_packet = packets.connect(
            client_id, will, broker.username, broker.password
        )
        self._on_connect = on_connect
        self._on_ack = on_ack
        self._link: _Link | None = None
        self._outstanding: dict[int, Outstanding] = {}
        self._last_id = 0
        self._is_closed = False
        self._rng = random.Random(client_id)
        self.resent = 0
        self.connections = 0
        self.error = "not connected yet"

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the connection and it stands."""
        return self._link is not None

    @property
    def unacknowledged(self) -> int:
        """Messages that wait for their PUBACK."""
        return len(self._outstanding)

    def publish(self, topic: str, payload: bytes, number: int = 0) -> None:
        """Send at QoS 1, retained: now, or at the next connection.

        Args:
            topic: at most 65,535 bytes in UTF-8.
            payload: of a packet of at most 268,435,455 bytes.
            number: given back with the PUBACK.

        Raises:
            OverflowError: if all 65,535 packet ids wait for a PUBACK.
        """
        packet_id = self._next_id()
        message = Outstanding(topic, payload, monotonic(), number)
        self._outstanding[packet_id] = message
        if self._link is not None:
            self._link.write(packets.publish(packet_id, topic, payload))

    async def run(self) -> None:
        """Stay connected until cancelled or closed.

        An attempt may last 5 s. After one that failed, `error` says why, and the next
        one follows after a random pause of at most 0.5 s, doubling up to 8 s.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._is_closed:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    _, link = await loop.create_connection(
                        lambda: _Link(self._acknowledged),
                        self._broker.host,
                        self._broker.port,
                        ssl=self._tls,
                    )
                    await link.handshake(self._connect_packet)
            except (OSError, TimeoutError) as error:
                self.error = str(error) or "it does not answer"
                failures += 1
                await asyncio.sleep(self._backoff_s(failures))
                continue
            failures = 0
            await self._serve(link)

    async def close(self) -> None:
        """Disconnect in good order: the broker does not publish the last will."""
        self._is_closed = True
        if self._link is not None:
            self._link.write(packets.DISCONNECT)
            await self._link.end()

    async def _serve(self, link: "_Link") -> None:
        self.connections += 1
        self._link = link
        unacknowledged = list(self._outstanding.items())
        self._on_connect()
        for packet_id, message in unacknowledged:
            link.write(
                packets.publish(packet_id, message.topic, message.payload, packets.DUP)
            )
        self.resent += len(unacknowledged)
        try:
            await link.until_lost()
        finally:
            self._link = None
            link.abort()
        self.error = "the connection broke"

    def _acknowledged(self, packet_id: int) -> None:
        message = self._outstanding.pop(packet_id, None)
        if message is not None:
            self._on_ack(message, monotonic() - message.sent)

    def _next_id(self) -> int:
        if len(self._outstanding) >= _PACKET_IDS:
            raise OverflowError("65,535 messages wait for the broker")
        while True:
            self._last_id = self._last_id % _PACKET_IDS + 1
            if self._last_id not in self._outstanding:
                return self._last_id

    def _backoff_s(self, failures: int) -> float:
        ceiling = _BACKOFF_FIRST_S * 2 ** min(failures, _BACKOFF_DOUBLINGS)
        return self._rng.uniform(0, ceiling)


class _Link(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, on_puback: Callable[[int], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_puback = on_puback
        self._unparsed = b""
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._received_s = monotonic()

    async def handshake(self, connect_packet: bytes) -> None:
        """Wait for the CONNACK; raises ConnectionError with the broker's reason."""
        self.write(connect_packet)
        try:
            await self._accepted
        except BaseException:
            self.abort()
            raise

    async def until_lost(self) -> None:
        """Keep alive; ends when the connection does, or hangs."""
        while not self._lost.done():
            await asyncio.wait([self._lost], timeout=packets.KEEPALIVE_S / 2)
            if monotonic() - self._received_s > packets.KEEPALIVE_S:
                return
            self.write(packets.PINGREQ)

    async def end(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait([self._lost], timeout=_CONNECT_TIMEOUT_S)

    def abort(self) -> None:
        """Close immediately; what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()

    def write(self, packet: bytes) -> None:
        """Send; dropped if the connection broke, since the next one sends it again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packet)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        if not self._accepted.done():
            self._accepted.set_exception(exc or ConnectionError("it closed at once"))
            self._accepted.exception()  # retrieved: no task may wait for it
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._received_s = monotonic()
        data = self._unparsed + data
        position = 0
        while (found := packets.body(data, position)) is not None:
            start, end = found
            self._packet(data[position], data[start:end])
            position = end
        self._unparsed = data[position:]

    def _packet(self, kind: int, body: bytes) -> None:
        # Others are skipped: amqtt, for one, sends messages without a subscription.
        if kind == packets.PUBACK:
            self._on_puback(body[0] << 8 | body[1])
        elif kind == packets.CONNACK and not self._accepted.done():
            if body[1]:
                self._accepted.set_exception(ConnectionError(explain_refusal(body[1])))
            else:
                self._accepted.set_result(None)
