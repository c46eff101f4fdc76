"""Messages that wait for their PUBACK: the newest in RAM, all older ones in flash.

A message goes to flash when the next one comes and it is still not acknowledged, so
while the broker answers nothing is written. A power failure loses at most the newest
message. What was acknowledged may be sent once more after it, SEGMENT at most.

In flash, a segment is a file of up to SEGMENT records that is only appended to, and
deleted as a whole: no block is rewritten in place. A record is the payload's length
(2 bytes, big-endian), the CRC-32 of the payload (4), and the payload.
"""

import os
from binascii import crc32

from egiz_edge import unload

CAPACITY = 100  # messages
SEGMENT = 10  # records; one erase serves several, and few are repeated after a failure

HEAD_BYTES = 6
SUFFIX = ".seg"
_NO_SPACE = 28  # ENOSPC, which MicroPython's errno does not name
RECORDS = 256  # more than a segment can have
PAYLOAD_MAX = 4352  # bytes of a record: a payload of the contract, marked as buffered


class Outbox:
    """A queue of encoded messages in `directory`, which is made if it is not there.

    Every message has a position, an integer that grows. `peek` and `done` are apart: a
    power failure between them repeats a message and loses none.
    """

    def __init__(self, directory, capacity=CAPACITY):
        self._directory = directory
        self.capacity = capacity
        self.dropped = 0  # since boot: for want of room, or unreadable
        self._newest = None
        self._done = set()  # positions between, acknowledged out of turn
        # Number * RECORDS + records that are left, the oldest first: a thousand lists
        # would lie all over the heap, and leave it in pieces.
        self._segments = []
        self._offset = 0  # in the oldest segment
        self._room = 0  # records that the newest segment has room for
        self._number = 0  # of the newest segment
        self._first = self._end = 0  # positions
        self._mount()

    def __len__(self):
        return self._end - self._first - len(self._done)

    @property
    def end(self):
        """The position that the next message gets."""
        return self._end

    def put(self, payload):
        """Add the newest message; a full outbox drops its oldest one."""
        while len(self) >= self.capacity:
            self._first_waiting()
            self._advance()
            self.dropped += 1
        self.flush()
        self._newest = payload
        self._end += 1

    def newest(self):
        """(position, payload) of the newest message if it is only in RAM, or None."""
        return None if self._newest is None else (self._end - 1, self._newest)

    def peek(self):
        """(position, payload) of the oldest message, or None."""
        while self._first_waiting():
            if not self._segments:
                return self.newest()
            payload = self._read()
            if payload is not None:
                return self._first, payload
            self._advance()
            self.dropped += 1
        return None

    def done(self, position):
        """The message at `position` is acknowledged."""
        if position < self._first:
            self.dropped -= 1  # it made room while it was on its way
        elif position == self._end - 1 and self._newest is not None:
            self._newest = None
            self._end -= 1
        elif position == self._first:
            self._advance()
        else:
            self._done.add(position)

    def flush(self):
        """Bring the newest message to flash as well: before a reset of our own."""
        payload, self._newest = self._newest, None
        if payload is None:
            return
        for _ in range(2):
            try:
                self._append(payload)
            except OSError as error:
                self._room = 0  # what was written of it is the end of its segment
                if error.args[0] != _NO_SPACE or len(self._segments) < 2:
                    break
                self._drop_segment()
            else:
                return
        self._segments.append(1)  # flash is worn out: one record, and no file

    def _drop_segment(self):
        """Make room in a flash that is full before the outbox is."""
        oldest = self._segments[0] // RECORDS
        while self._first_waiting() and self._segments[0] // RECORDS == oldest:
            self._advance()
            self.dropped += 1

    def _first_waiting(self):
        """Whether there is a message; `_first` is then the oldest one's position."""
        while self._first in self._done:
            self._done.remove(self._first)
            self._advance()
        return self._first < self._end

    def _append(self, payload):
        if not self._room:
            self._number += 1
        head = len(payload).to_bytes(2, "big") + crc32(payload).to_bytes(4, "big")
        with open(self._path(self._number), "ab") as file:
            file.write(head + payload)
        if self._room:
            self._segments[-1] += 1
        else:
            self._segments.append(self._number * RECORDS + 1)
            self._room = SEGMENT
        self._room -= 1

    def _read(self):
        """The oldest payload in flash, or None if it is damaged."""
        try:
            with open(self._path(self._segments[0] // RECORDS), "rb") as file:
                file.seek(self._offset)
                head = file.read(HEAD_BYTES)
                length = int.from_bytes(head[:2], "big")
                if not 0 < length <= PAYLOAD_MAX:  # flash that was erased, or zeros
                    return None
                payload = file.read(length)
        except OSError:
            return None
        return payload if crc32(payload).to_bytes(4, "big") == head[2:] else None

    def _advance(self):
        """Forget the oldest message."""
        self._first += 1
        if not self._segments:
            self._newest = None
            return
        self._segments[0] -= 1
        if self._segments[0] % RECORDS:
            self._offset = self._after(self._offset)
            return
        self._offset = 0
        number = self._segments.pop(0) // RECORDS
        if not self._segments:
            self._room = 0
        self._remove(number)

    def _after(self, offset):
        """Where the record after the one at `offset` begins."""
        try:
            with open(self._path(self._segments[0] // RECORDS), "rb") as file:
                file.seek(offset)
                length = int.from_bytes(file.read(2), "big")
        except OSError:
            return offset
        return offset + HEAD_BYTES + length

    def _mount(self):
        """Find what the boot before has left."""
        from egiz_edge import outbox_mount  # noqa: PLC0415  # not kept, see unload

        self._segments, self._number = outbox_mount.segments(self._directory)
        unload("outbox_mount")
        for segment in self._segments:
            self._end += segment % RECORDS
        while len(self) > self.capacity:  # they were done, or dropped and counted
            self._advance()

    def _remove(self, number):
        try:
            os.remove(self._path(number))
        except OSError:
            pass  # there is none, or flash is worn out

    def _path(self, number):
        return "%s/%s%s" % (self._directory, number, SUFFIX)
