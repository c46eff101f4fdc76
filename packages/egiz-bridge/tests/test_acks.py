from egiz_bridge.batch import Batch, DeadLetter, Message
from egiz_bridge.pipeline.acks import AckLedger


def _batch(connection: int, *packet_ids: int) -> Batch:
    return Batch(connection, packet_ids=list(packet_ids), writing=1)


def _stored(ledger: AckLedger) -> list[int]:
    return [number for batch in ledger.take_stored() for number in batch.packet_ids]


def test_packet_ids_come_in_the_order_of_receipt_however_sinks_finish():
    ledger = AckLedger(1)
    first, second, third = (_batch(1, 1, 2), _batch(1, 3), _batch(1, 9, 4))
    for batch in (first, second, third):
        ledger.enter(batch)
    third.writing = 0
    assert _stored(ledger) == []
    first.writing = 0
    assert _stored(ledger) == [1, 2]
    second.writing = 0
    assert _stored(ledger) == [3, 9, 4]
    assert _stored(ledger) == []
    assert len(ledger) == 0


def test_a_batch_waits_for_its_dead_letters():
    ledger = AckLedger(1)
    batch = Batch(1, packet_ids=[5])
    batch.rejects = [DeadLetter(Message("t", b"", 0), "not_json", "")]
    ledger.enter(batch)
    assert _stored(ledger) == []
    batch.rejects = []
    assert _stored(ledger) == [5]


def test_a_batch_of_an_earlier_connection_is_never_acknowledged():
    ledger = AckLedger(2)
    late = _batch(1, 7)
    late.writing = 0
    ledger.enter(late)
    assert _stored(ledger) == []
