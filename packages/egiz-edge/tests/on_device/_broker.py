"""A broker that does exactly what a test says, in the same interpreter."""

import asyncio
import random

from egiz_edge import mqtt
from egiz_edge.mqtt import MQTTClient

SHORT_S = 1  # where a deadline is to pass

ACCEPTED = b"\x20\x02\x00\x00"


class Broker:
    """Reads packets, and answers as a test says; `packets` is what was received."""

    def __init__(self, connack=ACCEPTED, answer=None):
        self._connack = connack
        self.answer = answer or acknowledging
        self.packets = []
        self.writer = None

    async def start(self):
        while True:
            self.port = 20000 + random.getrandbits(13)  # below the ephemeral ones
            try:
                self._server = await asyncio.start_server(
                    self._serve, "127.0.0.1", self.port
                )
            except OSError:  # in use
                continue
            return

    async def stop(self):
        self._server.close()
        if self.writer is not None:
            self.writer.close()
            await _closed(self.writer)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def _serve(self, reader, writer):
        self.writer = writer
        try:
            while True:
                packet = await _packet_from(reader)
                self.packets.append(packet)
                is_connect = packet[0] == 0x10
                data = self._connack if is_connect else self.answer(packet)
                if data is None:
                    break
                writer.write(data)
                await writer.drain()
        except (EOFError, OSError):
            pass
        writer.close()
        await _closed(writer)


async def _closed(writer):
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def _packet_from(reader):
    first = await reader.readexactly(1)
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return first + (await reader.readexactly(length) if length else b"")


def packet_id(packet):
    """Of a PUBLISH at QoS 1 or a SUBSCRIBE, without its length."""
    start = 1 if packet[0] == 0x82 else 3 + (packet[1] << 8 | packet[2])
    return packet[start : start + 2]


def acknowledging(packet):
    """What a broker answers that accepts everything."""
    if packet[0] == 0x82:
        return b"\x90\x03" + packet_id(packet) + b"\x01"
    if packet[0] & 0xF6 == 0x32:
        return b"\x40\x02" + packet_id(packet)
    return b"\xd0\x00" if packet[0] == 0xC0 else b""


def run_with(broker, work, deadline=10, **options):
    """Run `work(client, broker)`; gives its result."""
    kept = mqtt.DEADLINE_S, mqtt.CONNECT_S
    mqtt.DEADLINE_S = mqtt.CONNECT_S = deadline

    async def run():
        await broker.start()
        client = MQTTClient("oven-001", "127.0.0.1", broker.port, **options)
        try:
            return await asyncio.wait_for(work(client, broker), 60)
        finally:
            await client.close()
            await broker.stop()

    try:
        return asyncio.run(run())
    finally:
        mqtt.DEADLINE_S, mqtt.CONNECT_S = kept


async def error_of(operation):
    """The message of an operation that must fail."""
    try:
        await operation
    except OSError as error:
        return str(error)
    raise AssertionError("no error")


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)
