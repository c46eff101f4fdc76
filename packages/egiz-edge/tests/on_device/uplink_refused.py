"""A broker that refuses a subscription: the device publishes on, and says so."""

import asyncio

from _board import Log
from _broker import Broker, acknowledging, packet_id, until
from _uplink import Names, Settings, Timekeeper, Wifi
from egiz_edge.uplink import Uplink


class Outbox:
    """An empty one."""

    end = 0

    def __len__(self):
        return 0

    def flush(self):
        pass


class Refusing:
    """It refuses what ends with `refused`."""

    def __init__(self, refused):
        self.refused = refused

    def answer(self, packet):
        if packet[0] == 0x82 and packet[:-1].endswith(self.refused):
            return b"\x90\x03" + packet_id(packet) + b"\x80"
        return acknowledging(packet)


def _with_a_broker_that_refuses(refused, work):
    """Run `work(refusing, uplink)`; gives the births, and the log."""
    refusing, births, log = Refusing(refused), [], Log()

    async def run():
        broker = Broker(answer=refusing.answer)
        await broker.start()
        settings = Settings()
        settings.port = broker.port
        parts = Wifi(), settings, Outbox(), Timekeeper(), Names()

        def report(_):
            births.append(uplink.is_subscribed)
            return b"{}"

        uplink = Uplink(*parts, report, log)
        for kind in ("config", "command"):
            uplink.set_callback(kind, lambda *_: None)
        running = asyncio.create_task(uplink.run())
        await until(lambda: uplink.acked["status"] == 1)
        await work(refusing, uplink)
        uplink.stop()
        await running
        await broker.stop()

    asyncio.run(asyncio.wait_for(run(), 60))
    return births, log.lines


def test_a_refused_subscription_is_said_until_a_session_has_all():
    async def work(refusing, uplink):
        refusing.refused = b"/none"
        await uplink.reconnect()
        await until(lambda: uplink.acked["status"] == 2)

    for refused in (b"/config", b"/command"):
        births, log = _with_a_broker_that_refuses(refused, work)
        assert births[:2] == [False, True], refused
        kind = refused[1:].decode()
        assert kind + ": subscription refused; its messages are not received" in log
