"""The outbox: oldest first, oldest dropped, everything accounted for."""

import gc
import os

import _flash
from egiz_edge.outbox import Outbox

DIRECTORY = _flash.directory()
# As outbox.py has them: in the bundle, only the numbers are left.
CAPACITY, SEGMENT = 100, 10


def _new(capacity=CAPACITY):
    _clear()
    return Outbox(DIRECTORY, capacity)


def _clear():
    try:
        for name in os.listdir(DIRECTORY):
            os.remove(DIRECTORY + "/" + name)
    except OSError:
        pass


def _files():
    return sorted(os.listdir(DIRECTORY))


def _sent(outbox):
    """Everything, acknowledged in turn."""
    sent = []
    while True:
        oldest = outbox.peek()
        if oldest is None:
            return sent
        position, payload = oldest
        sent.append(payload)
        outbox.done(position)


def _payload(number):
    return b"message %d" % number


def _payloads(*numbers):
    return [_payload(number) for number in numbers]


def test_messages_leave_in_the_order_in_which_they_came():
    outbox = _new()
    for number in range(35):
        outbox.put(_payload(number))
    assert len(outbox) == 35
    assert _sent(outbox) == _payloads(*range(35))
    assert (len(outbox), outbox.dropped, _files()) == (0, 0, [])


def test_nothing_goes_to_flash_while_messages_are_acknowledged():
    outbox = _new()
    for number in range(30):
        outbox.put(_payload(number))
        position, payload = outbox.newest()
        assert payload == _payload(number)
        outbox.done(position)
        assert _files() == []
    assert len(outbox) == 0


def test_a_full_one_drops_the_oldest_and_counts_it():
    outbox = _new(7)
    for number in range(50):
        outbox.put(_payload(number))
        if number == 20:
            assert outbox.peek()[1] == _payload(14)
            outbox.done(outbox.peek()[0])
    assert len(outbox) == 7
    assert 1 + outbox.dropped + len(outbox) == 50  # sent, dropped, kept
    assert _sent(outbox) == _payloads(*range(43, 50))


def test_a_message_that_is_not_done_is_still_there():
    outbox = _new()
    outbox.put(b"1")
    outbox.put(b"2")
    assert outbox.peek() == outbox.peek() == (0, b"1")


def test_the_newest_may_be_done_before_older_ones():
    outbox = _new()
    for number in range(4):
        outbox.put(_payload(number))
    outbox.done(outbox.newest()[0])
    assert outbox.newest() is None
    outbox.put(_payload(4))
    assert len(outbox) == 4
    assert _sent(outbox) == _payloads(0, 1, 2, 4)


def test_a_message_done_after_it_went_to_flash_does_not_come_again():
    outbox = _new()
    positions = []
    for number in range(25):
        outbox.put(_payload(number))
        positions.append(outbox.newest()[0])
    for number in (3, 9, 10, 17):
        outbox.done(positions[number])
    assert len(outbox) == 21
    assert _sent(outbox) == [_payload(n) for n in range(25) if n not in {3, 9, 10, 17}]
    assert _files() == []


def test_one_that_made_room_on_its_way_and_then_arrived_is_not_lost():
    outbox = _new(3)
    for number in range(3):
        outbox.put(_payload(number))
    position, _ = outbox.peek()
    outbox.put(_payload(3))
    assert outbox.dropped == 1
    outbox.done(position)
    assert outbox.dropped == 0
    assert _sent(outbox) == _payloads(1, 2, 3)


def test_a_restart_finds_what_was_flushed():
    outbox = _new()
    for number in range(2 * SEGMENT + 5):
        outbox.put(_payload(number))
    outbox.flush()
    again = Outbox(DIRECTORY)
    assert len(again) == 2 * SEGMENT + 5
    again.put(_payload(99))
    assert _sent(again) == _payloads(*range(2 * SEGMENT + 5)) + [_payload(99)]


def test_a_power_failure_loses_the_newest_message_and_no_other():
    outbox = _new()
    for number in range(12):
        outbox.put(_payload(number))
    assert _sent(Outbox(DIRECTORY)) == _payloads(*range(11))


def test_what_was_dropped_before_a_restart_does_not_come_back():
    outbox = _new(7)
    for number in range(19):
        outbox.put(_payload(number))
    outbox.flush()
    again = Outbox(DIRECTORY, 7)
    assert again.dropped == 0
    assert _sent(again) == _payloads(*range(12, 19))


def test_a_flipped_bit_costs_one_message_which_is_counted():
    outbox = _new()
    for number in range(15):
        outbox.put(_payload(number))
    outbox.flush()
    path = DIRECTORY + "/1.seg"
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[2 * (6 + 9) + 6 + 4] ^= 0x10  # in the payload of the third record
    with open(path, "wb") as file:
        file.write(content)
    again = Outbox(DIRECTORY)
    assert _sent(again) == [_payload(n) for n in range(15) if n != 2]
    assert again.dropped == 1


def test_a_torn_file_gives_what_is_whole_and_counts_the_rest():
    outbox = _new()
    for number in range(5):
        outbox.put(_payload(number))
    outbox.flush()
    path = DIRECTORY + "/1.seg"
    with open(path, "rb") as file:
        content = file.read()
    for cut in range(1, 15):
        with open(path, "wb") as file:
            file.write(content[:-cut])
        again = Outbox(DIRECTORY)
        again.put(_payload(9))
        assert _sent(again) == _payloads(0, 1, 2, 3, 9)
        assert again.dropped == 1


def test_a_file_of_somebody_else_is_left_alone():
    _new()
    with open(DIRECTORY + "/notes.txt", "w") as file:
        file.write("mine")
    outbox = Outbox(DIRECTORY)
    outbox.put(b"1")
    outbox.flush()
    assert _files() == ["1.seg", "notes.txt"]
    _clear()


def test_a_flash_that_is_smaller_than_the_outbox_keeps_the_newest_messages():
    outbox = _new(capacity=10000)
    for number in range(200):
        outbox.put(b"%03d" % number + b"x" * 150)
    assert len(outbox) + outbox.dropped == 200
    sent = [int(payload[:3]) for payload in _sent(outbox)]
    assert sent == list(range(outbox.dropped, 200))
    assert len(sent) > 40


def test_what_is_no_segment_costs_one_message_at_most_and_no_memory():
    Outbox(DIRECTORY)  # it makes the directory
    for rubbish in (bytes(900), b"\xff" * 900, b"\x7f\xff" * 450, b"[", b"\0"):
        _clear()
        with open(DIRECTORY + "/3.seg", "wb") as file:
            file.write(rubbish)
        os.mkdir(DIRECTORY + "/4.seg")
        outbox = Outbox(DIRECTORY)
        assert len(outbox) == 1
        assert outbox.peek() is None
        assert outbox.dropped == 1
        outbox.put(b"new")
        outbox.put(b"newer")
        assert outbox.peek()[1] == b"new"
        os.rmdir(DIRECTORY + "/4.seg")


def test_flash_that_accepts_nothing_loses_messages_but_counts_them():
    outbox = _new()
    os.rmdir(DIRECTORY)
    for number in range(5):
        outbox.put(_payload(number))
    os.mkdir(DIRECTORY)
    for number in range(5, 8):
        outbox.put(_payload(number))
    assert _sent(outbox) == _payloads(4, 5, 6, 7)
    assert outbox.dropped == 4


def test_a_full_one_of_real_messages_costs_the_heap_next_to_nothing():
    outbox = _new(20)
    payload = bytes(640)
    outbox.put(payload)
    before = _allocated()
    for _ in range(100):
        outbox.put(payload)
    assert _allocated() - before < 2048
    assert (len(outbox), outbox.dropped) == (20, 81)


def _allocated():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0
