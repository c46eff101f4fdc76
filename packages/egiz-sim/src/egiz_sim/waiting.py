"""Waiting for a condition, and tasks that run meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

_POLL_S = 0.05


async def until(is_true: Callable[[], bool], limit: float) -> bool:
    """Wait for a condition; gives whether it was true before this monotonic time."""
    while not is_true():
        if monotonic() > limit:
            return False
        await asyncio.sleep(_POLL_S)
    return True


class Tasks:
    """Tasks that run until they are done, or until all are cancelled."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run one more."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def cancel(self) -> None:
        """End those that are not done."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
