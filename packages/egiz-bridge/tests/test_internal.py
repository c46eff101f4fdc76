"""A bug of the bridge costs one message, which is kept, and nothing else."""

import pytest
import structlog
from egiz_bridge.batch import Message
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.ledger.devices import Devices
from egiz_bridge.mqtt.packets import Publish
from egiz_bridge.pipeline import intake, internal, rows
from egiz_bridge.sinks.archive import ArchiveTable

TOPIC = "sensors/factory/oven-001/telemetry"
PAYLOAD = (
    b'{"device_id":"oven-001","timestamp":1706352600,"seq":%d,"thermal":{"setpoint":1}}'
)
REASONS = [AttributeError("x"), KeyError("x"), ZeroDivisionError(), RecursionError()]


def _broken(monkeypatch, module, name, error):
    real = getattr(module, name)

    def decode(topic, payload, received_ms):
        if b'"seq":2' in payload:
            raise error
        return real(topic, payload, received_ms)

    monkeypatch.setattr(module, name, decode)
    monkeypatch.setattr(internal, "_logged", set())


@pytest.mark.parametrize("error", REASONS, ids=lambda e: type(e).__name__)
def test_a_message_that_the_bridge_fails_on_is_a_dead_letter(monkeypatch, error):
    _broken(monkeypatch, intake, "decode_line_with_dropped", error)
    batches, ledger = [], Ledger()
    entry = intake.Intake(ledger, Devices(), batches.append)
    entry.configure([ArchiveTable()])
    packets = [Publish(TOPIC.encode(), PAYLOAD % seq, seq, 0) for seq in (1, 2, 3, 2)]
    with structlog.testing.capture_logs() as logged:
        entry.receive(packets, 0)
        entry.flush()
    (batch,) = batches
    assert [row.message.payload for row in batch.rows] == [PAYLOAD % 1, PAYLOAD % 3]
    assert [letter.reason for letter in batch.rejects] == ["internal", "internal"]
    assert type(error).__name__ in batch.rejects[0].detail
    assert batch.packet_ids == [1, 2, 3, 2]
    counts = ledger.snapshot()
    assert (counts.accepted, counts.rejected) == (2, {"internal": 2})
    assert counts.unaccounted == 0
    assert [line["event"][:14] for line in logged] == ["internal error"]


def test_a_spooled_message_that_the_bridge_fails_on_is_a_dead_letter(monkeypatch):
    _broken(monkeypatch, rows, "decode_line", AttributeError("x"))
    messages = [Message(TOPIC, PAYLOAD % seq, 1706352600_000) for seq in (1, 2, 3)]
    decoded, dead = rows.to_rows(messages)
    assert [row.message for row in decoded] == [messages[0], messages[2]]
    assert [(letter.message, letter.reason) for letter in dead] == [
        (messages[1], "internal")
    ]
