"""One TCP connection of an MQTT client: its handshake, its keepalive, its end."""

import asyncio
from collections.abc import Callable
from time import monotonic

from egiz_cli import explain_refusal

from egiz_sim import packets

CONNECT_TIMEOUT_S = 5.0


class Link(asyncio.Protocol):
    """Reads packets and passes on those that are not of the connection itself.

    Args:
        on_puback: called with the packet id of each PUBACK.
        on_other: called with first byte and body of each PUBLISH and SUBACK.

    Attributes:
        error: why it ended.
    """

    def __init__(
        self,
        on_puback: Callable[[int], None],
        on_other: Callable[[int, bytes], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._on_puback = on_puback
        self._on_other = on_other
        self._unparsed = b""
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._received_s = monotonic()
        self.error = "the connection broke"

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
                self.error = "it does not answer any more"
                return
            self.write(packets.PINGREQ)

    async def end(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait([self._lost], timeout=CONNECT_TIMEOUT_S)

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
        try:
            self._parse(self._unparsed + data)
        except packets.MalformedError as error:
            self._unparsed = b""
            self.error = str(error)
            if not self._accepted.done():
                self._accepted.set_exception(error)
                self._accepted.exception()  # retrieved, as above
            self.abort()

    def _parse(self, data: bytes) -> None:
        position = 0
        while (found := packets.body(data, position)) is not None:
            start, end = found
            self._packet(data[position], data[start:end])
            position = end
        self._unparsed = data[position:]

    def _packet(self, kind: int, body: bytes) -> None:
        if kind == packets.PUBACK:
            self._on_puback(packets.number(body))
        elif kind == packets.CONNACK and not self._accepted.done():
            if code := packets.number(body) & 0xFF:
                self._accepted.set_exception(ConnectionError(explain_refusal(code)))
            else:
                self._accepted.set_result(None)
        elif kind & 0xF0 in {packets.PUBLISH, packets.SUBACK}:
            self._on_other(kind, body)
