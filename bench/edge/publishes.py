"""QoS 1 publishes in a row, of our client and of stock umqtt.simple 1.3.4.

Both run in the same interpreter, on the heap of the device, with the same broker; a
subscriber counts what arrives. One without progress for STALL_S has stalled.

umqtt.simple writes a packet in four pieces, which Nagle's algorithm draws out to 44
ms; for it, that is turned off here: it would only end after 50 minutes. Its packet
ids do not wrap. Mosquitto closes the connection at id 0, and after that no PUBACK is
the right one.
"""

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rig.umqtt import fetch

from edge.shared import firmware, fresh_broker, interpret

STALL_S = 30.0
_STEP = 1000
_TOPIC = "sensors/factory/oven-001/telemetry"

_OURS = """
import asyncio, gc, sys
from egiz_edge.mqtt import MQTTClient
port, count, step = [int(argument) for argument in sys.argv[1:4]]
topic = sys.argv[4]
async def main():
    client = MQTTClient("bench", "127.0.0.1", port)
    await client.connect()
    payload = bytes(415)
    for number in range(1, count + 1):
        await client.publish(topic, payload, False, 1)
        if not number % step:
            gc.collect()
            print(number, gc.mem_alloc())
    await client.disconnect()
asyncio.run(main())
"""

_STOCK = """
import gc, sys
from umqtt.simple import MQTTClient
port, count, step = [int(argument) for argument in sys.argv[1:4]]
topic = sys.argv[4]
client = MQTTClient("bench", "127.0.0.1", port)
def connect():
    client.connect()
    client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
connect()
payload = bytes(415)
for number in range(1, count + 1):
    try:
        client.publish(topic, payload, False, 1)
    except OSError:  # as umqtt.robust does
        print("connection lost at", number)
        connect()
        client.publish(topic, payload, False, 1)
    # One by one where its packet ids end.
    if not number % step or number > 65500:
        gc.collect()
        print(number, gc.mem_alloc())
client.disconnect()
"""


class Outcome(NamedTuple):
    """What became of the publishes of one client."""

    acknowledged: int
    arrived: int
    seconds: float
    grown: int  # bytes of heap, from the first step to the last
    end: str  # "" if it ended normally


def ours(count: int) -> Outcome:
    """Of egiz_edge.mqtt."""
    with fresh_broker() as (broker, directory):
        return _measure(_OURS, firmware(directory), broker.port, count)


def stock(count: int) -> Outcome:
    """Of umqtt.simple, as it is on PyPI."""
    with fresh_broker() as (broker, directory):
        return _measure(_STOCK, fetch(directory), broker.port, count)


def _measure(code: str, path: Path, port: int, count: int) -> Outcome:
    counter = _Counter(port)
    arguments = map(str, (port, count, _STEP, _TOPIC))
    started = time.monotonic()
    process = interpret(code, *arguments, path=[path], heap="96k")
    printed, end = _watched(process)
    seconds = time.monotonic() - started
    numbers = [int(line.split()[0]) for line in printed]
    heaps = [int(line.split()[1]) for line in printed]
    acknowledged = numbers[-1] if numbers else 0
    arrived = counter.received(acknowledged)
    grown = heaps[-1] - heaps[0] if heaps else 0
    return Outcome(acknowledged, arrived, seconds, grown, end)


def _watched(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """What it printed, and how it ended if it failed."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    printed: list[str] = []
    while True:
        try:
            line = lines.get(timeout=STALL_S)
        except queue.Empty:
            process.kill()
            process.wait()
            return printed, f"hangs: nothing for {STALL_S:.0f} s"
        if line is None:
            code = process.wait()
            return printed, "" if not code else f"exit code {code}"
        if line[:1].isdigit():
            printed.append(line)
        else:
            print(line, file=sys.stderr)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(None)


class _Counter:
    """A subscriber that counts."""

    def __init__(self, port: int) -> None:
        self._count = 0
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._add
        self._client.on_connect = lambda client, *_: client.subscribe(_TOPIC, 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        subscribed.wait(10)

    def _add(self, *_: object) -> None:
        self._count += 1

    def received(self, expected: int) -> int:
        """How many came, once it is as many as expected or no more come."""
        until = time.monotonic() + 10
        while self._count < expected and time.monotonic() < until:
            time.sleep(0.1)
        self._client.disconnect()
        self._client.loop_stop()
        return self._count
