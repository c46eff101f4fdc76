"""Power failures: the supply is cut at every erase and every program of littlefs.

MicroPython only: CPython has no littlefs.
"""

import gc
import sys

import _flash
from egiz_edge.outbox import Outbox

CAPACITY = 14  # more than a segment, and little enough to try every cut
MESSAGES = 36


def _payload(number):
    return b"%d:" % number + bytes([number]) * 70


def _work(flash, outbox, promised):
    """An outage, half a flush, another outage; `promised` must be there afterwards."""
    for number in range(MESSAGES):
        outbox.put(_payload(number))
        if flash.is_dead:
            return
        promised["stored"] = number  # all before it are in flash
        for _ in range(8 if number in {17, 30} else 0):
            position, payload = outbox.peek()
            promised["sent"] = int(payload.split(b":")[0])
            outbox.done(position)
            if flash.is_dead:
                return
    outbox.flush()
    if not flash.is_dead:
        promised["stored"] = MESSAGES


def _found():
    """What a boot finds: numbers, each payload compared in full."""
    outbox = Outbox("/flash/outbox", CAPACITY)
    numbers = []
    while outbox.peek() is not None:
        position, payload = outbox.peek()
        number = int(payload.split(b":")[0])
        assert payload == _payload(number)
        numbers.append(number)
        outbox.done(position)
    return numbers, outbox.dropped


def _cut_at(memory, operation):
    """Whether the work was over before; else the cut, the boot, and what is there."""
    flash = _flash.Flash(512, 32, memory)
    _flash.mount(flash, is_new=True)
    promised = {"stored": 0, "sent": -1}
    outbox = Outbox("/flash/outbox", CAPACITY)
    flash.until_cut = operation
    _work(flash, outbox, promised)
    _flash.unmount()
    if not flash.is_dead:
        return True
    _flash.mount(flash.revived())
    numbers, dropped = _found()
    _flash.unmount()
    _check(numbers, dropped, promised)
    return False


def _check(numbers, dropped, promised):
    """None of what was stored is lost; at most a segment is sent again; order holds."""
    assert numbers == sorted(set(numbers))
    assert dropped == 0
    first_owed = max(promised["sent"] + 1, promised["stored"] - CAPACITY)
    owed = range(first_owed, promised["stored"])
    assert set(owed) <= set(numbers), (numbers, promised)
    again = [number for number in numbers if number < first_owed]
    assert len(again) <= 10
    assert len(numbers) <= CAPACITY


def test_a_cut_at_every_erase_and_program_loses_nothing_that_was_stored():
    if sys.implementation.name != "micropython":
        return
    memory = bytearray(512 * 32)
    operation = 1
    while not _cut_at(memory, operation):
        operation += 1
        gc.collect()
    assert operation > 100  # it was cut that often
