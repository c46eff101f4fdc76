"""A window of samples: means of scaled integers, the last state, all faults seen."""


class Window:
    """What was sampled since the last telemetry message.

    Attributes:
        state: the last operational state, or None.
        faults: fault codes, each once, in the order in which they came.
        last: the last sample of what has no mean: a counter, by its name.
        zones: how many zones there are, read or not.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """Begin a new window: nothing of the old one is left in it."""
        self._sums = {}
        self._counts = {}
        self._missed = {}
        self.last = {}
        self.faults = []
        self.state = None
        self.zones = 0

    def add(self, name, value):
        """Add a sample of what is published as its mean: a scaled integer, or None."""
        if value is None:
            self._missed[name] = self._missed.get(name, 0) + 1
            return
        self._sums[name] = self._sums.get(name, 0) + value
        self._counts[name] = self._counts.get(name, 0) + 1

    def fault(self, code):
        """Note a fault code, once."""
        if code not in self.faults:
            self.faults.append(code)

    def mean(self, name):
        """The mean, rounded half up, or None if nothing was sampled."""
        count = self._counts.get(name)
        if not count:
            return None
        return (2 * self._sums[name] + count) // (2 * count)

    def count(self):
        """(Samples, those expected) of the mean that lacks the most; None if none does.

        What has no sample at all has no mean: its fault code says so.
        """
        found = None
        for name, missed in self._missed.items():
            count = self._counts.get(name)
            if count and (not found or count * found[1] < found[0] * (count + missed)):
                found = count, count + missed
        return found
