"""Messages that wait for their PUBACK: in RAM, oldest dropped first and counted.

The capacity is what the heap of the board holds; 100 messages take flash.
"""

CAPACITY = 30  # messages of some 600 bytes


class Outbox:
    """A ring of encoded messages.

    `peek` and `drop` are apart: a power cut between them repeats a message and loses
    none.
    """

    def __init__(self, capacity=CAPACITY):
        self._slots = [None] * capacity
        self._first = 0
        self._count = 0
        self.dropped = 0  # since boot

    def __len__(self):
        return self._count

    def put(self, payload):
        """Add the newest message."""
        capacity = len(self._slots)
        if self._count == capacity:
            self.drop()
            self.dropped += 1
        self._slots[(self._first + self._count) % capacity] = payload
        self._count += 1

    def peek(self):
        """The oldest message, or None."""
        return self._slots[self._first] if self._count else None

    def drop(self):
        """Forget the oldest message."""
        self._slots[self._first] = None
        self._first = (self._first + 1) % len(self._slots)
        self._count -= 1
