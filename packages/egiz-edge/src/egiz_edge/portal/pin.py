"""The PIN of the label: five wrong ones lock the form, also over a power cut."""

TRIES = 5

_KEY = "wrong_pins"  # in the store


class Pin:
    """Counts wrong PINs in the store, before it says that one is wrong.

    After a power-on a form that was locked has one more try: whoever can unplug the
    board may have forgotten a PIN, and gets no more than one guess for each time.

    Args:
        store: the board's.
        pin: digits.
        is_power_on: whether this boot is one.
    """

    def __init__(self, store, pin, is_power_on):
        self._store = store
        self._pin = pin
        if is_power_on and self._wrong() >= TRIES:
            store.put(_KEY, str(TRIES - 1))

    @property
    def is_locked(self):
        """Whether none is accepted any more."""
        return self._wrong() >= TRIES

    def is_right(self, text):
        """Compare; the time that it needs does not depend on where they differ."""
        self._store.put(_KEY, str(self._wrong() + 1))
        given, pin = text.encode(), self._pin.encode()
        difference = len(given) ^ len(pin)
        for at in range(len(pin)):
            difference |= pin[at] ^ (given[at] if at < len(given) else 0)
        if difference:
            return False
        self._store.delete(_KEY)
        return True

    def _wrong(self):
        try:
            return int(self._store.get(_KEY) or 0)
        except ValueError:
            return TRIES
