"""A connection as that of a service: it subscribes, and publishes orders."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from time import monotonic

from egiz_cli import explain_refusal

from egiz_sim.broker import Broker
from egiz_sim.conformance import frames
from egiz_sim.conformance.errors import CheckError
from egiz_sim.packets import DISCONNECT, PINGREQ

_ANSWER_S = 10.0
_CHUNK = 65536
_PACKET_IDS = 65535


class Client:
    """A connection of the check itself.

    Args:
        broker: where it connects.
        on_message: called with each message.
        on_change: called when a message has come, and when the connection breaks.

    Attributes:
        error: why the connection broke, or None.
    """

    def __init__(
        self,
        broker: Broker,
        on_message: Callable[[frames.Publish], None],
        on_change: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._on_message = on_message
        self._on_change = on_change
        self._answers: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._last_id = 0
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._received_s = monotonic()
        self.error: str | None = None

    async def connect(self) -> None:
        """Connect; raises CheckError."""
        broker = self._broker
        client_id = f"egiz-check-{secrets.token_hex(4)}"
        tls = broker.tls.context(client_id) if broker.tls else None
        accepted = self._expect(frames.CONNACK, 0)
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, self._writer = await asyncio.open_connection(
                    broker.host, broker.port, ssl=tls
                )
                self._tasks.append(asyncio.create_task(self._read(reader)))
                self._write(frames.connect(client_id, broker.username, broker.password))
                answer = await accepted
        except (OSError, UnicodeError) as error:  # the latter: of a host name
            reason = str(error) or "it does not answer"
            raise CheckError(f"broker {broker}: {reason}") from None
        if code := answer[-1]:
            reason = explain_refusal(code)
            raise CheckError(f"broker {broker} refuses the check: {reason}")
        self._tasks.append(asyncio.create_task(self._keep_alive()))

    async def subscribe(self, *filters: str) -> None:
        """Subscribe at QoS 1, or again, for what is retained; raises CheckError."""
        packet_id = self._next_id()
        packet = frames.subscribe(packet_id, filters)
        answer = await self._ask(packet, frames.SUBACK, packet_id)
        if frames.REFUSED in answer[2:]:
            raise CheckError(
                f"broker {self._broker}: this account may not read {' '.join(filters)};"
                " give --broker a user that may"
            )
        # What is retained comes before the answer to a ping, or soon after it.
        await self._ask(PINGREQ, frames.PINGRESP, 0)

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish at QoS 1; returns at the PUBACK. Raises CheckError."""
        packet_id = self._next_id()
        packet = frames.publish(packet_id, topic, payload, retain=retain)
        await self._ask(packet, frames.PUBACK, packet_id)

    async def close(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._write(DISCONNECT)
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _ask(self, packet: bytes, answer: int, packet_id: int) -> bytes:
        expected = self._expect(answer, packet_id)
        self._write(packet)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await expected
        except (OSError, TimeoutError) as error:
            reason = self.error or str(error) or "it does not answer"
            raise CheckError(f"broker {self._broker}: {reason}") from None

    def _expect(self, kind: int, packet_id: int) -> asyncio.Future[bytes]:
        expected = asyncio.get_running_loop().create_future()
        if self.error:
            expected.set_exception(ConnectionError(self.error))
        else:
            self._answers[kind, packet_id] = expected
        return expected

    def _write(self, packet: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packet)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        stream = frames.Stream()
        try:
            while data := await reader.read(_CHUNK):
                self._received_s = monotonic()
                for packet in stream.feed(data):
                    self._handle(packet)
            self._fail("it closed the connection")
        except (OSError, frames.Unreadable) as error:
            self._fail(str(error))

    def _handle(self, packet: frames.Packet) -> None:
        if packet.type == frames.PUBLISH:
            message = frames.read_publish(packet)
            self._on_message(message)
            if message.qos:
                self._write(frames.puback(message.packet_id))
            self._on_change()
            return
        has_id = packet.type in {frames.PUBACK, frames.SUBACK}
        has_two = has_id or packet.type == frames.CONNACK
        first = frames.read_id(packet) if has_two else 0  # raises if it is shorter
        packet_id = first if has_id else 0
        expected = self._answers.pop((packet.type, packet_id), None)
        if expected is not None and not expected.done():
            expected.set_result(packet.body)

    async def _keep_alive(self) -> None:
        while not self.error:
            await asyncio.sleep(frames.KEEPALIVE_S / 2)
            if monotonic() - self._received_s > frames.KEEPALIVE_S:
                self._fail("it does not answer any more")
            self._write(PINGREQ)

    def _fail(self, reason: str) -> None:
        self.error = reason
        for expected in self._answers.values():
            if not expected.done():
                expected.set_exception(ConnectionError(reason))
        self._answers.clear()
        self._on_change()

    def _next_id(self) -> int:
        self._last_id = self._last_id % _PACKET_IDS + 1
        return self._last_id
