"""What is in memory while settings are tried: the handshake needs the most."""

import asyncio
import sys

import egiz_edge
from egiz_edge import reach

GIVEN = {
    "wifi_ssid": "Hall",
    "device_id": "oven-007",
    "broker": "broker.lan",
    "port": 8883,
    "tls": {"ca": "/ca.der"},
}
CONTEXT = object()


class Board:
    """Its Wi-Fi, which any network accepts."""

    store = None

    def __init__(self):
        self.wifi = self

    def configure(self, ssid, password):
        pass

    async def connect(self):
        pass


class _Names:
    """`egiz_edge.names`."""

    class Names:
        def __init__(self, *_):
            pass

        async def address(self, _host):
            return "192.0.2.1"


class _Tls:
    """`egiz_edge.tls`."""

    def context(self, _paths):
        return CONTEXT


class _Mqtt:
    """`egiz_edge.mqtt`: what was loaded when it connected, and with what."""

    def __init__(self):
        self.seen = []
        self.MQTTClient = lambda *_: self

    async def connect(self):
        there = ["egiz_edge." + name in sys.modules for name in ("names", "tls")]
        self.seen.append((self.ssl, self.address, there))

    async def disconnect(self):
        pass

    async def close(self):
        pass


def test_what_the_handshake_does_not_need_is_unloaded_before_it():
    mqtt = _Mqtt()
    for name, fake in (("names", _Names()), ("tls", _Tls()), ("mqtt", mqtt)):
        sys.modules["egiz_edge." + name] = fake
        setattr(egiz_edge, name, fake)
    try:
        assert asyncio.run(reach.problem(Board(), GIVEN)) is None
    finally:
        egiz_edge.unload("names", "tls", "mqtt")
    assert mqtt.seen == [(CONTEXT, "192.0.2.1", [False, False])]
