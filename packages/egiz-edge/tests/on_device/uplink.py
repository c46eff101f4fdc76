"""The way to the broker: what is counted as dropped has not arrived."""

import asyncio
import os

import _flash
from _board import Log
from _broker import Broker, acknowledging, until
from _ticks import Real
from _uplink import Names, Settings, Timekeeper, Wifi
from egiz_edge import uplink as module
from egiz_edge.outbox import Outbox
from egiz_edge.uplink import Uplink

DIRECTORY = _flash.directory(blocks=16)
module.time = Real()
CAPACITY = 3


class Flaky:
    """A broker that breaks off at the first telemetry, which it has received."""

    def __init__(self, sent_meanwhile):
        self._sent_meanwhile = sent_meanwhile
        self.arrived = []  # (whether DUP, number of the message), in order
        self.uplink = None

    def answer(self, packet):
        if packet[0] & 0xF0 != 0x30 or b"/telemetry" not in packet:
            return acknowledging(packet)
        number = int(packet[packet.index(b'"seq":') + 6 :].split(b",")[0])
        self.arrived.append((bool(packet[0] & 8), number))
        if len(self.arrived) > 1:
            return acknowledging(packet)
        for later in range(1, 1 + self._sent_meanwhile):
            self.uplink.send(_payload(later))
        return None


def _payload(number):
    return b'{"seq":%d,"boot":1}' % number


def _empty_outbox():
    try:
        for name in os.listdir(DIRECTORY):
            os.remove(DIRECTORY + "/" + name)
    except OSError:
        pass
    return Outbox(DIRECTORY, CAPACITY)


def _after_an_outage(sent_meanwhile):
    """What arrived, and the outbox, of a connection that broke before a PUBACK."""
    outbox = _empty_outbox()
    flaky = Flaky(sent_meanwhile)

    async def run():
        broker = Broker(answer=flaky.answer)
        await broker.start()
        settings = Settings()
        settings.port = broker.port
        uplink = flaky.uplink = Uplink(
            Wifi(), settings, outbox, Timekeeper(), Names(), lambda _: b"{}", Log()
        )
        running = asyncio.create_task(uplink.run())
        await until(lambda: uplink.is_connected)
        uplink.send(_payload(0))
        await until(lambda: len(flaky.arrived) > 1 and not len(outbox))
        uplink.stop()
        await running
        await broker.stop()

    asyncio.run(asyncio.wait_for(run(), 60))
    return flaky.arrived, outbox


def test_a_message_that_arrived_but_was_not_acknowledged_is_sent_again_first():
    arrived, outbox = _after_an_outage(CAPACITY - 1)
    assert arrived == [(False, 0), (True, 0), (False, 1), (False, 2)]
    assert outbox.dropped == 0


def test_one_that_arrived_and_then_made_room_does_not_count_as_dropped():
    arrived, outbox = _after_an_outage(CAPACITY + 2)
    numbers = [number for _, number in arrived]
    missing = set(range(CAPACITY + 3)) - set(numbers)
    assert missing == {1, 2}
    assert outbox.dropped == len(missing)
    assert numbers == [0, 0, 3, 4, 5]
