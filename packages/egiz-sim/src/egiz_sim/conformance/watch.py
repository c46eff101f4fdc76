"""What comes from the device, and waiting for it."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Any, TypeVar

from egiz_schema import Status

from egiz_sim.broker import Broker
from egiz_sim.conformance import frames, orders
from egiz_sim.conformance.client import Client
from egiz_sim.conformance.errors import CheckError
from egiz_sim.conformance.evidence import Evidence, Order, Seen, seen

_T = TypeVar("_T")


class Watch:
    """The check's connection to the broker, which fills the evidence.

    Args:
        broker: where it connects.
        evidence: what it fills.

    Attributes:
        config: the retained config that was found, as bytes; empty if there was none.
        command: a retained command that was found; empty if there was none.
        is_config_ours: whether the check has published a config.
        is_command_ours: whether a retained command of the check is at the broker.
    """

    def __init__(self, broker: Broker, evidence: Evidence) -> None:
        self._evidence = evidence
        self._changed = asyncio.Event()
        self._broker = broker
        self._client = Client(broker, self._receive, self.wake)
        self.config = self.command = b""
        self.is_config_ours = self.is_command_ours = False

    async def begin(self) -> None:
        """Connect, and find what is retained; raises CheckError."""
        await self._client.connect()
        await self._client.subscribe(self._evidence.topic("+"))

    async def look_again(self) -> list[Seen]:
        """What is retained now; raises CheckError."""
        start = len(self._evidence.seen)
        await self._client.subscribe(self._evidence.topic("+"))
        return [each for each in self._evidence.seen[start:] if each.is_kept]

    async def revive(self) -> None:
        """Connect again if the connection is broken; raises CheckError."""
        if self._client.error:
            await self._client.close()
            self._client = Client(self._broker, self._receive, self.wake)
            await self.begin()

    async def end(self) -> None:
        """Disconnect."""
        await self._client.close()

    def wake(self) -> None:
        """Something has changed that somebody may wait for."""
        self._changed.set()

    async def until(self, check: Callable[[], _T], timeout_s: float) -> _T | None:
        """What `check` gives once it is true; None if it is not in time.

        Raises:
            CheckError: the connection of the check broke.
        """
        deadline = monotonic() + timeout_s
        while True:
            self._changed.clear()
            if result := check():
                return result
            if self._client.error:
                raise CheckError(f"broker {self._broker}: {self._client.error}")
            left = deadline - monotonic()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                pass  # checked once more

    async def send_config(
        self, document: Mapping[str, Any], payload: bytes = b""
    ) -> Order:
        """Publish a config, retained; `payload` instead of the document, if given."""
        self.is_config_ours = True
        order = Order(dict(document), payload or orders.as_bytes(document), monotonic())
        topic = self._evidence.topic("config")
        await self._client.publish(topic, order.payload, retain=True)
        return order

    async def send_command(
        self, document: Mapping[str, Any], payload: bytes = b"", *, retain: bool = False
    ) -> Order:
        """Publish a command."""
        order = Order(dict(document), payload or orders.as_bytes(document), monotonic())
        self.is_command_ours |= retain
        topic = self._evidence.topic("command")
        await self._client.publish(topic, order.payload, retain=retain)
        return order

    async def clear_command(self) -> None:
        """Remove the retained command of the check."""
        topic = self._evidence.topic("command")
        await self._client.publish(topic, b"", retain=True)
        self.is_command_ours = False

    async def put_config_back(self) -> None:
        """Have the broker retain what was found."""
        topic = self._evidence.topic("config")
        await self._client.publish(topic, self.config, retain=True)

    async def answered(
        self, order: Order, is_answer: Callable[[Status], bool], timeout_s: float
    ) -> Order:
        """Wait for the status that answers an order, and note it there."""
        await self.until(lambda: self.is_answered(order, is_answer), timeout_s)
        return order

    def is_answered(self, order: Order, is_answer: Callable[[Status], bool]) -> bool:
        """Whether the answer has come; it is noted in the order."""
        order.answer = next(
            (
                each
                for each in self._evidence.seen
                if each.at >= order.at
                and isinstance(each.message, Status)
                and is_answer(each.message)
            ),
            None,
        )
        return order.answer is not None

    def last_status(self) -> Status | None:
        """What the device said last of itself; None if it said nothing."""
        statuses = self._evidence.statuses()
        return statuses[-1][1] if statuses else None

    def _receive(self, publish: frames.Publish) -> None:
        kind = publish.topic.rpartition("/")[2]
        if kind == "config":
            if publish.is_retained and not self.is_config_ours:
                self.config = publish.payload
        elif kind == "command":
            if publish.is_retained and not self.is_command_ours:
                self.command = publish.payload
        else:
            self._evidence.seen.append(seen(publish, monotonic(), time()))
