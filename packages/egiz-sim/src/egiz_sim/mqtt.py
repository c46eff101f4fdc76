"""A client of MQTT 3.1.1 for asyncio: it publishes at QoS 1, with a last will.

Thousands fit in one process: no thread, no task for a message. What is unacknowledged
outlives a connection and is sent again, in order, on the next one, unless its publisher
takes it back. It receives what comes on a few topics of its own.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from egiz_sim import packets
from egiz_sim.broker import Broker
from egiz_sim.link import CONNECT_TIMEOUT_S, Link

_BACKOFF_FIRST_S = 0.25
_BACKOFF_DOUBLINGS = 5  # to 8 s
_BRIEF_S = 10.0  # longer than any pause: two clients with the same id never pass it
_PACKET_IDS = 65535


@dataclass(slots=True)
class Outstanding:
    """A message that waits for its PUBACK."""

    topic: str
    payload: bytes
    sent: float  # monotonic seconds, when it was first handed over
    number: int = 0  # by which the one that published it knows it
    retain: bool = True


class Inbox(NamedTuple):
    """What a client receives; `receive` gets topic, payload, and whether retained.

    Messages of other topics may come, too: amqtt, for one, sends them unasked.
    """

    topics: tuple[str, ...]
    receive: Callable[[str, bytes, bool], None]


class Publisher:
    """Publishes for one device until it is closed.

    Args:
        broker: where it connects.
        client_id: of the device.
        will: (topic, payload) that the broker publishes if the connection breaks, if
            there is one.
        on_connect: called at each connection, after what is sent again.
        on_ack: called with each acknowledged message and its latency in seconds.

    Attributes:
        inbox: what it subscribes to at each connection, if anything.
        on_lost: called when a connection has ended.
        connections: how often the broker has accepted a connection.
        brief: connections that others have ended within 10 s.
        resent: messages that were sent again at a new connection.
        error: why the last attempt or connection failed.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: tuple[str, bytes] | None,
        on_connect: Callable[[], None],
        on_ack: Callable[[Outstanding, float], None],
    ) -> None:
        self._broker = broker
        self._tls = broker.tls.context(client_id) if broker.tls else None
        self._client_id = client_id
        self.will = will
        self.inbox: Inbox | None = None
        self.on_lost: Callable[[], None] = _nothing
        self._on_connect = on_connect
        self._on_ack = on_ack
        self._link: Link | None = None
        self._outstanding: dict[int, Outstanding] = {}
        self._subscribing: set[int] = set()  # packet ids without a SUBACK
        self._last_id = 0
        self._may_connect = asyncio.Event()
        self._may_connect.set()
        self._is_closed = False
        self._rng = random.Random(client_id)
        self.resent = 0
        self.connections = 0
        self.brief = 0
        self.error = "not connected yet"

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the connection and it stands."""
        return self._link is not None

    @property
    def unacknowledged(self) -> int:
        """Messages that wait for their PUBACK."""
        return len(self._outstanding)

    def publish(
        self, topic: str, payload: bytes, number: int = 0, *, retain: bool = True
    ) -> None:
        """Send at QoS 1: now, or at the next connection.

        Args:
            topic: at most 65,535 bytes in UTF-8.
            payload: of a packet of at most 268,435,455 bytes.
            number: given back with the PUBACK.
            retain: whether it is the current state, which the broker keeps.

        Raises:
            OverflowError: if all 65,535 packet ids wait for a PUBACK.
        """
        packet_id = self._next_id()
        message = Outstanding(topic, payload, monotonic(), number, retain)
        self._outstanding[packet_id] = message
        if self._link is not None:
            self._link.write(_packet(packet_id, message))

    def take_back(self, topic: str) -> list[Outstanding]:
        """Give what waits for its PUBACK on a topic; it is not sent again."""
        taken = [n for n, one in self._outstanding.items() if one.topic == topic]
        return [self._outstanding.pop(packet_id) for packet_id in taken]

    async def disconnect(self, *, is_orderly: bool = True) -> None:
        """End the connection, until `reconnect`; in disorder, the last will follows."""
        self._may_connect.clear()
        if self._link is None:
            return
        if is_orderly:
            self._link.write(packets.DISCONNECT)
            await self._link.end()
        else:
            self._link.abort()

    def reconnect(self) -> None:
        """Connect again after `disconnect`, with the last will as it is now."""
        self._may_connect.set()

    async def run(self) -> None:
        """Stay connected until cancelled or closed.

        An attempt may last 5 s. After one that failed, `error` says why, and the next
        one follows after a random pause of at most 0.5 s, doubling up to 8 s. So it
        does after a connection that ended soon: another client with the same id would
        be disconnected, and would disconnect this one, thousands of times a second.
        """
        failures = 0
        while not self._is_closed:
            await self._may_connect.wait()
            try:
                link = await self._connect()
            except (OSError, UnicodeError) as error:  # the latter: of a host name
                self.error = str(error) or "it does not answer"
                failures += 1
            else:
                brief = self.brief
                await self._serve(link)
                failures = failures + 1 if self.brief > brief else 0
            if failures:
                await asyncio.sleep(self._backoff_s(failures))

    async def close(self) -> None:
        """Disconnect in good order: the broker does not publish the last will."""
        self._is_closed = True
        if self._link is not None:
            self._link.write(packets.DISCONNECT)
            await self._link.end()

    async def _connect(self) -> Link:
        """A connection that the broker has accepted."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: Link(self._acknowledged, self._received),
                self._broker.host,
                self._broker.port,
                ssl=self._tls,
                server_hostname=self._broker.certified_name if self._tls else None,
            )
            await link.handshake(self._connect_packet())
        return link

    def _connect_packet(self) -> bytes:
        account = (self._broker.username, self._broker.password)
        if self.will is None:
            return packets.connect_subscriber(self._client_id, *account, is_clean=True)
        return packets.connect(self._client_id, self.will, *account)

    async def _serve(self, link: Link) -> None:
        if not self._may_connect.is_set():  # it was stopped during the handshake
            link.write(packets.DISCONNECT)
            await link.end()
            return
        self.connections += 1
        self._link = link
        self._subscribing.clear()
        for topic in self.inbox.topics if self.inbox else ():
            packet_id = self._next_id()
            self._subscribing.add(packet_id)
            link.write(packets.subscribe(packet_id, topic))
        # Before the birth: an old status must not replace it.
        for packet_id, message in self._outstanding.items():
            link.write(_packet(packet_id, message, packets.DUP))
        self.resent += len(self._outstanding)
        self._on_connect()
        begun = monotonic()
        try:
            await link.until_lost()
        finally:
            self._link = None
            link.abort()
            self.on_lost()
        self._ended(link.error, monotonic() - begun)

    def _ended(self, why: str, after_s: float) -> None:
        """Note how; an end that was asked for is none."""
        self.error = why
        if after_s < _BRIEF_S and self._may_connect.is_set() and not self._is_closed:
            self.brief += 1
            self.error += f" after {after_s:.1f} s"
        if self.brief > 1:
            self.error += f"; does another client have the id {self._client_id}?"

    def _received(self, head: int, body: bytes) -> None:
        if head & 0xF0 == packets.SUBACK:
            self._subscribing.discard(packets.number(body))
            return
        if self._link is None:  # before our SUBSCRIBE: it comes again after it
            return
        message = packets.read_publish(head, body)
        if message.packet_id:
            self._link.write(packets.puback(message.packet_id))
        if self.inbox is not None:
            topic = message.topic.decode(errors="replace")
            self.inbox.receive(topic, message.payload, bool(head & packets.RETAIN))

    def _acknowledged(self, packet_id: int) -> None:
        message = self._outstanding.pop(packet_id, None)
        if message is not None:
            self._on_ack(message, monotonic() - message.sent)

    def _next_id(self) -> int:
        if len(self._outstanding) >= _PACKET_IDS:
            raise OverflowError("65,535 messages wait for the broker")
        while True:
            self._last_id = self._last_id % _PACKET_IDS + 1
            packet_id = self._last_id
            if packet_id not in self._outstanding and (
                packet_id not in self._subscribing
            ):
                return packet_id

    def _backoff_s(self, failures: int) -> float:
        ceiling = _BACKOFF_FIRST_S * 2 ** min(failures, _BACKOFF_DOUBLINGS)
        return self._rng.uniform(0, ceiling)


def _packet(packet_id: int, message: Outstanding, flags: int = 0) -> bytes:
    flags |= packets.RETAIN if message.retain else 0
    return packets.publish(packet_id, message.topic, message.payload, flags)


def _nothing() -> None:
    """Not everybody wants to know."""
