"""How soon: from closing a window of samples until a subscriber has the message.

Both ends read the same clock; the message carries it in milliseconds.
"""

import time
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rig.device import Device, full_hardware

from edge.shared import fresh_broker, share


class Latency(NamedTuple):
    """Milliseconds."""

    messages: int
    p50_ms: float
    p99_ms: float
    most_ms: float


def measure(seconds: float) -> Latency:
    """Of the whole firmware on a virtual board; five messages a second."""
    ages: list[float] = []
    with fresh_broker() as (broker, directory):
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _, __, packet: ages.append(_age_ms(packet.payload))
        client.on_connect = _subscribe
        client.connect(broker.host, broker.port)
        client.loop_start()
        flash = directory / "flash"
        flash.mkdir()
        address = (broker.host, broker.port)
        device = Device(address, flash, full_hardware(), publish_rate_ms=200)
        time.sleep(2 + seconds)
        device.stop()
        client.disconnect()
        client.loop_stop()
    steady = ages[5:]
    return Latency(len(steady), share(steady, 50), share(steady, 99), max(steady))


def _age_ms(payload: bytes | bytearray) -> float:
    now_ms = time.time_ns() / 1e6
    head = payload.split(b'"timestamp":', 1)[1]
    seconds, rest = head.split(b',"ms":', 1)
    return now_ms - int(seconds) * 1000 - int(rest.split(b",", 1)[0])


def _subscribe(client: paho.Client, *_: object) -> None:
    client.subscribe("sensors/+/+/telemetry", 1)
