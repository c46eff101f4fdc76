"""The outbox: oldest first, oldest dropped, everything accounted for."""

from egiz_edge.outbox import CAPACITY, Outbox


def test_messages_leave_in_the_order_in_which_they_came():
    outbox = Outbox(3)
    for payload in (b"1", b"2", b"3"):
        outbox.put(payload)
    left = []
    while outbox.peek() is not None:
        left.append(outbox.peek())
        outbox.drop()
    assert left == [b"1", b"2", b"3"]
    assert (len(outbox), outbox.dropped) == (0, 0)


def test_a_full_one_drops_the_oldest_and_counts_it():
    outbox = Outbox(3)
    for number in range(10):
        outbox.put(str(number))
        if number == 5:
            assert outbox.peek() == "3"
            outbox.drop()
    assert outbox.peek() == "7"
    assert len(outbox) == 3
    assert 1 + outbox.dropped + len(outbox) == 10  # sent, dropped, kept


def test_a_message_that_was_not_dropped_is_still_there():
    outbox = Outbox(2)
    outbox.put(b"1")
    assert outbox.peek() == outbox.peek() == b"1"


def test_a_full_one_of_real_messages_fits_the_heap():
    import egiz_edge.app  # noqa: F401, PLC0415  # all of the firmware is there as well

    outbox = Outbox()
    for number in range(CAPACITY + 1):
        outbox.put(bytes([number & 0xFF]) * 640)
    assert len(outbox) == CAPACITY
    assert outbox.dropped == 1
