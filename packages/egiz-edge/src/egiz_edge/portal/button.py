"""The button: held and released, it opens the portal or orders a factory reset.

What happens is decided when it is released: one that is tied to ground does nothing,
and the chip does not boot with its BOOT button held.
"""

_LOOKS_S = 2  # looks at it in a second

_STEPS = (  # seconds held, what its release then orders, what the console says
    (3, "portal", "release it now, and the portal opens"),
    (10, "factory_reset", "release it now for a factory reset"),
    (60, None, "held for a minute; its release does nothing"),
)


class Button:
    """One press after the other.

    Args:
        pin: with `value()`.
        log: called with each line that a person may want to read.
    """

    def __init__(self, pin, log):
        self._pin = pin
        self._log = log
        self._looks = 0  # in which it was pressed
        self._step = 0  # that it has reached

    @property
    def is_held(self):
        """Whether a press has begun, and not ended."""
        return self._looks > 0

    def look(self):
        """What a release has ordered, or None."""
        if self._pin.value():
            self._looks += 1
            is_left = self._step < len(_STEPS)
            if is_left and self._looks > _LOOKS_S * _STEPS[self._step][0]:
                self._log("button: " + _STEPS[self._step][2])
                self._step += 1
            return None
        ordered = _STEPS[self._step - 1][1] if self._step else None
        self._looks = self._step = 0
        return ordered
