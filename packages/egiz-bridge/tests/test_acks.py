from egiz_bridge.batch import Batch, DeadLetter, Message
from egiz_bridge.pipeline.acks import AckOrder


def _batch(connection: int, *packet_ids: int) -> Batch:
    return Batch(connection, packet_ids=list(packet_ids), writing=1)


def _stored(order: AckOrder) -> list[int]:
    return [number for batch in order.pop_stored() for number in batch.packet_ids]


def test_packet_ids_come_in_the_order_of_receipt_however_sinks_finish():
    order = AckOrder(1)
    first, second, third = (_batch(1, 1, 2), _batch(1, 3), _batch(1, 9, 4))
    for batch in (first, second, third):
        order.enter(batch)
    third.writing = 0
    assert _stored(order) == []
    first.writing = 0
    assert _stored(order) == [1, 2]
    second.writing = 0
    assert _stored(order) == [3, 9, 4]
    assert _stored(order) == []
    assert len(order) == 0


def test_a_batch_waits_for_its_dead_letters():
    order = AckOrder(1)
    batch = Batch(1, packet_ids=[5])
    batch.rejects = [DeadLetter(Message("t", b"", 0), "not_json", "")]
    order.enter(batch)
    assert _stored(order) == []
    batch.rejects = []
    assert _stored(order) == [5]


def test_a_batch_of_an_earlier_connection_is_never_acknowledged():
    order = AckOrder(2)
    late = _batch(1, 7)
    late.writing = 0
    order.enter(late)
    assert _stored(order) == []
