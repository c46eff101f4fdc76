"""The time by which old rows are deleted: no single reading of a clock deletes any.

A wall clock may be wrong for a moment, or from the start: a battery that is empty, a
time server that errs. Forward, it is followed by an hour at most; beyond, once it has
stayed so for a day. Until then, time passes as this process runs. Back, it is followed
at once: that deletes less.
"""

import time
from collections.abc import Callable

import structlog

_JUMP_MS = 3_600_000
_CONFIRMED_AFTER_S = 86_400.0

_log = structlog.get_logger()


def wall_ms() -> int:
    """What the clock of this machine says, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class ConfirmedClock:
    """Milliseconds since 1970.

    Args:
        last_ms: what it said last, in an earlier run.
        wall: the clock of the machine.
        monotonic_s: seconds that pass, and never jump.
    """

    def __init__(
        self,
        last_ms: int,
        wall: Callable[[], int] = wall_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._base_ms = last_ms
        self._base_s = monotonic_s()
        self._jump_ms = 0  # that waits to be confirmed
        self._jumped_at_s = 0.0

    def now_ms(self) -> int:
        """The time, as far as it is confirmed."""
        now_s = self._monotonic_s()
        steady_ms = self._base_ms + int((now_s - self._base_s) * 1000)
        ahead_ms = self._wall() - steady_ms
        if ahead_ms > _JUMP_MS and not self._is_confirmed(ahead_ms, now_s):
            return steady_ms
        self._jump_ms = 0
        self._base_ms, self._base_s = steady_ms + ahead_ms, now_s
        return self._base_ms

    def _is_confirmed(self, ahead_ms: int, now_s: float) -> bool:
        days = round(ahead_ms / 86_400_000, 2)
        if abs(ahead_ms - self._jump_ms) > _JUMP_MS:
            self._jump_ms, self._jumped_at_s = ahead_ms, now_s
            _log.warning(
                "retention waits: the clock is ahead of what was known, after a jump"
                " or a pause of the bridge; it is followed after a day",
                days=days,
            )
            return False
        if now_s - self._jumped_at_s < _CONFIRMED_AFTER_S:
            return False
        _log.warning("retention follows the clock: it has stayed ahead", days=days)
        return True
