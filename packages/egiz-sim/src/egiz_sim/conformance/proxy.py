"""A proxy between the device and its broker, which reads what passes.

A subscriber does not see whether a device asked for its message to be kept, nor what
comes first after CONNACK; and only what is between the two can cut the connection.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from time import monotonic, time

from egiz_cli import explain_refusal

from egiz_sim.conformance import frames
from egiz_sim.conformance.errors import PortError

_CHUNK = 65536
_CONNECT_TIMEOUT_S = 5.0
_ARRIVES_S = 2.0


@dataclass(slots=True, eq=False)
class Session:
    """One connection of the device.

    Attributes:
        connect: what the device said at CONNECT; None before.
        begun: monotonic seconds of the CONNACK that accepted it; None before.
        begun_epoch: the same, in seconds since 1970.
        opened: monotonic seconds of its beginning.
        refusal: the code of the CONNACK that did not accept it; None if there is none.
        ended: monotonic seconds of its end; None while it lasts.
        heard: monotonic seconds of the last packet of the device.
        is_resumed: the broker had kept its subscriptions.
        sent: messages of the device, in order.
        given: topic and payload of those at QoS 1 -> monotonic seconds of the PUBACK,
            or None.
        received: messages that the broker sent.
        filters: topic filter to QoS of its subscriptions.
        unacknowledged: packet ids of received messages, since when.
        unreadable: why its packets cannot be read, or None.
    """

    connect: frames.Connect | None = None
    begun: float | None = None
    begun_epoch: float = 0.0
    opened: float = field(default_factory=monotonic)
    refusal: int | None = None
    ended: float | None = None
    heard: float = 0.0
    is_resumed: bool = False
    sent: list[frames.Publish] = field(default_factory=list)
    given: dict[tuple[str, bytes], float | None] = field(default_factory=dict)
    received: list[frames.Publish] = field(default_factory=list)
    filters: dict[str, int] = field(default_factory=dict)
    unacknowledged: dict[int, float] = field(default_factory=dict)
    unreadable: str | None = None
    _open: dict[int, frames.Publish] = field(default_factory=dict)

    def from_device(self, packet: frames.Packet) -> None:
        """Note a packet of the device."""
        if self.unreadable:
            raise frames.Unreadable(self.unreadable)
        self.heard = monotonic()
        if self.connect is None:
            self.connect = frames.read_connect(packet)
        elif packet.type == frames.PUBLISH:
            self._give(frames.read_publish(packet))
        elif packet.type == frames.SUBSCRIBE:
            self.filters.update(frames.read_subscribe(packet))
        elif packet.type == frames.PUBACK:
            self.unacknowledged.pop(frames.read_id(packet), None)

    def has_got(self, since: float) -> bool:
        """Whether the device has got what was sent to it: it was heard long after.

        The end of the connection does not say so: a busy machine may see it late.
        """
        return self.heard - since > _ARRIVES_S

    def from_broker(self, packet: frames.Packet) -> None:
        """Note a packet of the broker; CONNACK also of what else cannot be read."""
        if packet.type == frames.CONNACK:
            self._answer(packet)
        elif self.unreadable:
            raise frames.Unreadable(self.unreadable)
        elif packet.type == frames.PUBLISH:
            message = frames.read_publish(packet)
            self.received.append(message)
            if message.qos:
                self.unacknowledged[message.packet_id] = monotonic()
        elif packet.type == frames.PUBACK:
            given = self._open.pop(frames.read_id(packet), None)
            if given is not None:
                self.given[given.topic, given.payload] = monotonic()

    def _answer(self, packet: frames.Packet) -> None:
        self.is_resumed, code = frames.read_connack(packet)
        if code:
            self.refusal = code
        else:
            self.begun, self.begun_epoch = monotonic(), time()

    def _give(self, message: frames.Publish) -> None:
        self.sent.append(message)
        if message.qos == 1:
            self.given.setdefault((message.topic, message.payload), None)
            self._open[message.packet_id] = message


class _Direction:
    """One of the two directions of a connection, read as it is forwarded."""

    def __init__(self, session: Session, note: Callable[[frames.Packet], None]) -> None:
        self._session = session
        self._note = note
        self._stream = frames.Stream()
        self._is_read = True

    def feed(self, data: bytes) -> None:
        """Read what passes; what cannot be read is forwarded all the same."""
        if self._is_read:
            try:
                for packet in self._stream.feed(data):
                    self._note(packet)
            except frames.Unreadable as error:
                self._is_read = False
                self._session.unreadable = self._session.unreadable or str(error)


class Proxy:
    """Listens for the device on a port of this machine, and forwards to the broker.

    Args:
        host: of the broker.
        port: of the broker.
        own_port: where the device connects.
        on_change: called whenever a packet has passed.

    Attributes:
        sessions: every connection so far.
    """

    def __init__(
        self, host: str, port: int, own_port: int, on_change: Callable[[], None]
    ) -> None:
        self._broker = (host, port)
        self._own_port = own_port
        self._on_change = on_change
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.WriteTransport] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.sessions: list[Session] = []

    async def accept(self) -> None:
        """Accept connections; raises PortError."""
        if self._server is not None:
            return
        try:
            self._server = await asyncio.start_server(
                self._begin, host=None, port=self._own_port
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise PortError(
                f"--proxy-port {self._own_port}: {reason}; choose another port"
            ) from None

    def refuse(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._transports):
            transport.abort()

    def why_not(self, since: int = 0) -> str:
        """Why the sessions from that one on came to nothing; empty if there are none.

        Args:
            since: how many sessions are left out.
        """
        sessions = self.sessions[since:]
        for session in reversed(sessions):
            if session.refusal is not None:
                return f"the broker refuses it: {explain_refusal(session.refusal)}"
        for session in reversed(sessions):
            if session.unreadable:
                return f"it cannot be read, and brought nothing: {session.unreadable}"
        return "it ended before the broker answered a CONNECT" if sessions else ""

    async def close(self) -> None:
        """End."""
        self.refuse()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, TimeoutError), self._open(writer):
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                from_broker, to_broker = await asyncio.open_connection(*self._broker)
            with self._open(to_broker):
                session = Session()
                self.sessions.append(session)
                up = _Direction(session, session.from_device)
                down = _Direction(session, session.from_broker)
                try:
                    await _until_first(
                        self._forward(reader, to_broker, up),
                        self._forward(from_broker, writer, down),
                    )
                finally:
                    session.ended = monotonic()

    @contextlib.contextmanager
    def _open(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Keep it where `refuse` finds it; close it at the end."""
        self._transports.add(writer.transport)
        if self._server is None:  # refused while this one began
            writer.transport.abort()
        try:
            yield
        finally:
            self._transports.discard(writer.transport)
            writer.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: _Direction,
    ) -> None:
        while data := await reader.read(_CHUNK):
            direction.feed(data)
            writer.write(data)
            await writer.drain()
            self._on_change()


async def _until_first(*works: Coroutine[None, None, None]) -> None:
    """Run them until one ends; then the others, too."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
