"""Waiting for a condition."""

import asyncio
from collections.abc import Callable
from time import monotonic

_POLL_S = 0.05


async def until(is_true: Callable[[], bool], limit: float) -> bool:
    """Wait for a condition; gives whether it was true before this monotonic time."""
    while not is_true():
        if monotonic() > limit:
            return False
        await asyncio.sleep(_POLL_S)
    return True
