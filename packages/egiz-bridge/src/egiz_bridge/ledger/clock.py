"""By how much the clock of a device is put back or forth, for all its messages.

One shift, not the time of the receipt, replaces the times of a device that is ahead, or
whose clock was never set: messages that it sends at once keep their distances.
"""

# While a burst comes, times up to this far from the receipt keep the shift: that is
# what the device had buffered.
_BURST_MS = 60_000
_BUFFERED_MAX_MS = 24 * 3600 * 1000
# A clock that was never set begins again at each boot. So the time of a live message
# is nearly that of its receipt, or the shift is of another boot.
_LIVE_MS = 60_000


class Shift:
    """The shift of one device; one thread asks."""

    __slots__ = ("_base_ms", "_shift_ms")

    def __init__(self) -> None:
        self._shift_ms = 0
        self._base_ms = 0  # when, by our clock, the shift was found

    def corrected_ms(self, time_ms: int, received_ms: int, ahead_max_ms: int) -> int:
        """The time of a message that is more than `ahead_max_ms` ahead.

        Nothing that is so far ahead is shifted by less, so the result is recognised as
        a correction, by a later reader of the message, too.
        """
        corrected = time_ms - self._shift_ms
        is_burst = received_ms - self._base_ms <= _BURST_MS
        later_max_ms = _BUFFERED_MAX_MS if is_burst else ahead_max_ms
        if -_BUFFERED_MAX_MS <= corrected - received_ms <= later_max_ms:
            return corrected
        return self._begun(time_ms, received_ms)

    def unset_ms(self, time_ms: int, received_ms: int, *, is_buffered: bool) -> int:
        """The time of a message of a device whose clock was never set."""
        corrected = time_ms - self._shift_ms
        behind_max_ms = _BUFFERED_MAX_MS if is_buffered else _LIVE_MS
        if -_LIVE_MS <= received_ms - corrected <= behind_max_ms:
            return corrected
        return self._begun(time_ms, received_ms)

    def _begun(self, time_ms: int, received_ms: int) -> int:
        # Two shifts that are found within a millisecond must not give one point.
        self._base_ms = max(received_ms, self._base_ms + 1)
        self._shift_ms = time_ms - self._base_ms
        return self._base_ms
