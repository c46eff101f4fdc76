"""Telemetry that waits for a connection; without room, the oldest is dropped."""

from collections import deque
from collections.abc import Iterable

_MARK = b'{"buffered":true,'


class Outbox:
    """A queue of encoded messages, as they were when they were measured.

    Attributes:
        dropped: messages that were dropped for want of room, so far.
    """

    def __init__(self, capacity: int) -> None:
        self._waiting: deque[bytes] = deque()
        self._capacity = capacity
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def resize(self, capacity: int) -> None:
        """Keep at most so many, but at least one: the one that is sent next."""
        self._capacity = max(1, capacity)
        self._drop()

    def put(self, payload: bytes) -> None:
        """Add the newest message."""
        self._waiting.append(payload)
        self._drop()

    def put_back(self, payloads: Iterable[bytes]) -> None:
        """Add messages that are older than all others, the oldest first."""
        self._waiting.extendleft(reversed(list(payloads)))
        self._drop()

    def take(self) -> bytes | None:
        """The oldest message, marked as history; None if there is none."""
        if not self._waiting:
            return None
        payload = self._waiting.popleft()
        return payload if payload.startswith(_MARK) else _MARK + payload[1:]

    def clear(self) -> int:
        """Forget all; gives how many."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def _drop(self) -> None:
        while len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self.dropped += 1
