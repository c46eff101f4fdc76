"""What an outbox finds in flash after a boot; in memory only at the start.

Nothing that is found there ends the boot: what is no segment of ours is left alone, and
what is no record is one damaged record, up to the end of its segment.
"""

import os

from egiz_edge.outbox import HEAD_BYTES, PAYLOAD_MAX, RECORDS, SUFFIX


def segments(directory):
    """Each segment as `Outbox` has it, the oldest first, and the last number in use.

    The directory is made if it is not there; without one, messages wait in RAM.
    """
    try:
        os.mkdir(directory)
    except OSError:
        pass  # it is there
    found, numbers = [], _numbers(directory)
    for number in numbers:
        path = "%s/%d%s" % (directory, number, SUFFIX)
        try:
            records = _count(path)
            if records:
                found.append(number * RECORDS + records)
            else:
                os.remove(path)
        except OSError:
            pass  # a directory, or worn flash
    return found, (numbers[-1] if numbers else 0)


def _numbers(directory):
    numbers = []
    try:
        for name in _names(directory):
            stem = name[: -len(SUFFIX)]
            if name.endswith(SUFFIX) and stem.isdigit() and stem[0] != "0":
                numbers.append(int(stem))
    except OSError:
        return []
    numbers.sort()
    return numbers


def _names(directory):
    """One after the other where that is possible: a thousand of them need 48 KB."""
    if hasattr(os, "ilistdir"):
        for entry in os.ilistdir(directory):
            yield entry[0]
    else:
        yield from os.listdir(directory)


def _count(path):
    """Records in a segment; what is left of a torn one is a record as well."""
    records = offset = 0
    size = os.stat(path)[6]
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            length = int.from_bytes(file.read(2), "big")
            records += 1
            if not 0 < length <= PAYLOAD_MAX or records == RECORDS - 1:
                break
            offset += HEAD_BYTES + length
    return records
