"""MQTT 3.1.1 for asyncio, with the names and argument order of umqtt.simple.

One QoS 1 message is in flight at a time, every wait has a deadline, packet ids wrap.
A method that fails raises OSError; if the connection is lost, `connect` again.
Section numbers are those of the OASIS standard, MQTT Version 3.1.1.
"""

import asyncio
from binascii import crc32

from egiz_edge import unload

DEADLINE_S = 5  # for each answer of the broker
CONNECT_S = 10  # TCP, TLS and CONNACK; a handshake takes a board 2 to 3 s
INCOMING_MAX = 4096 + 256  # bytes: a payload of the contract and its topic

_PUBLISH, _PUBACK = 0x30, 0x40
_SUBSCRIBE, _SUBACK = 0x82, 0x90
_PINGREQ, _PINGRESP = 0xC0, 0xD0
_DISCONNECT = 0xE0

_CHUNK = 256  # bytes of a message that is too long to be kept


class MQTTException(OSError):
    """args[0] says what failed."""


class MQTTClient:
    """A client that the caller reconnects; `on_lost` is called when that is needed.

    Args:
        client_id: at most one connection of a broker has it.
        server: host name or address.
        port: 0 for 1883, or 8883 with TLS.
        user: or None.
        password: or None.
        keepalive: seconds; the broker publishes the last will after 1.5 times that.
        ssl: an `ssl.SSLContext`, or None.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # those of umqtt.simple
        self,
        client_id,
        server,
        port=0,
        user=None,
        password=None,
        keepalive=20,
        ssl=None,
    ):
        self.client_id = client_id
        self.server = server
        self.port = port
        self.user = user
        self.password = password
        self.keepalive = keepalive
        self.ssl = ssl
        self.address = None  # of the server, where the caller has looked it up
        self.on_lost = None
        self.on_watch = None  # called once a second while there is a connection
        self.is_connected = False
        self._callback = None
        self.will = None  # (topic, msg, retain, qos)
        self.pid = 0  # the last packet id
        self._unacked = {}  # topic -> packet id of a message without PUBACK
        self._window = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._answered = asyncio.Event()
        self._awaited = None  # (packet type, packet id) that `_ask` waits for
        self.reader = self.writer = self._listener = self._watcher = None
        self.reason = "not connected"  # for which there is no connection
        # Seconds since the last packet out, in, and an unanswered PINGREQ (or None).
        self._sent_s = self._heard_s = 0
        self._pinged_s = None

    def set_callback(self, callback):
        """`callback(topic, msg, retain)` is called with each message, as bytes.

        Of a message that is too long for the memory, `msg` is the CRC-32.
        """
        self._callback = callback

    def set_last_will(self, topic, msg, retain=False, qos=0):
        """What the broker publishes for us if the connection breaks."""
        self.will = (topic, msg, retain, qos)

    async def connect(self, clean_session=True):
        """Whether the broker had a session; subscriptions are the caller's to renew."""
        await self.close()
        from egiz_edge import mqtt_connect  # noqa: PLC0415  # not kept, see unload

        try:
            has_session = await mqtt_connect.handshake(self, clean_session, CONNECT_S)
            self.is_connected = True
        finally:
            unload("mqtt_connect")
            if not self.is_connected:
                await self.close()
        self._sent_s = self._heard_s = 0
        self._pinged_s = None
        self._listener = asyncio.create_task(self._listen())
        self._watcher = asyncio.create_task(self._watch())
        return has_session

    async def publish(self, topic, msg, retain=False, qos=0, dup=False):
        """Publish; at QoS 1, returns when the broker has acknowledged it.

        With `dup`, the same message has been tried before: it keeps its packet id.
        """
        flags = _PUBLISH | (8 if dup else 0) | (qos << 1) | (1 if retain else 0)
        if not qos:
            await self._send_in_time(packet(flags, string(topic), msg))
            return
        async with self._window:
            pid = (dup and self._unacked.get(topic)) or self._next_pid()
            self._unacked[topic] = pid
            sent = packet(flags, string(topic), pid.to_bytes(2, "big"), msg)
            await self._ask(sent, _PUBACK, pid)
            del self._unacked[topic]

    async def subscribe(self, topic, qos=0):
        """Returns when the broker has granted it; if it refuses, we stay connected."""
        async with self._window:
            pid = self._next_pid()
            body = (pid.to_bytes(2, "big"), string(topic), bytes([qos]))
            if await self._ask(packet(_SUBSCRIBE, *body), _SUBACK, pid) == 0x80:
                raise MQTTException("subscription refused")

    async def ping(self):
        """Send PINGREQ; without a PINGRESP in time the connection is lost."""
        self._pinged_s = 0
        await self._send_in_time(bytes([_PINGREQ, 0]))

    async def disconnect(self):
        """Send DISCONNECT, so that the broker does not publish the last will; close."""
        if self.is_connected:
            await self._send_in_time(bytes([_DISCONNECT, 0]))
        await self.close()

    async def close(self):
        """Close the connection without DISCONNECT."""
        self.is_connected = False
        self._answered.set()
        for task in (self._listener, self._watcher):
            if task is not None:
                task.cancel()
        self._listener = self._watcher = None
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass  # it was broken before

    async def _ask(self, packet, kind, pid):
        """Send, and wait for the answer of this type and packet id: its last byte."""
        if not self.is_connected:
            raise MQTTException(self.reason)
        self._answered.clear()
        self._awaited = (kind, pid)
        try:
            await asyncio.wait_for(self._exchange(packet), DEADLINE_S)
        except asyncio.TimeoutError:
            self._lose("no answer in time")
        except OSError as error:
            self._lose(error)
        if type(self._awaited) is tuple:
            raise MQTTException(self.reason)
        return self._awaited

    async def _exchange(self, packet):
        await self.send(packet)
        await self._answered.wait()

    async def _send_in_time(self, packet):
        try:
            await asyncio.wait_for(self.send(packet), DEADLINE_S)
        except asyncio.TimeoutError:
            self._lose("cannot send")
            raise MQTTException(self.reason)
        except OSError as error:
            self._lose(error)
            raise

    async def send(self, packet):
        """Send a packet; raises OSError without a connection."""
        # A stream of MicroPython loses what is written while another task drains.
        async with self._sending:
            if self.writer is None:
                raise MQTTException(self.reason)
            self.writer.write(packet)
            await self.writer.drain()
        self._sent_s = 0

    async def _watch(self):
        """Once a second: ping when either side was silent; notice a missing answer."""
        try:
            while self.is_connected:
                await asyncio.sleep(1)
                await self._check_silence()
                if self.on_watch:
                    self.on_watch()
        except Exception as error:  # without this task there is no connection
            self._lose(error)

    async def _check_silence(self):
        self._sent_s += 1
        self._heard_s += 1
        if self._pinged_s is not None:
            self._pinged_s += 1
            if self._pinged_s > DEADLINE_S:
                self._lose("no PINGRESP in time")
        elif 2 * max(self._sent_s, self._heard_s) >= self.keepalive:
            await self.ping()

    async def _listen(self):
        """Receive packets until the connection is lost."""
        reason = "closed by the broker"
        try:
            while True:
                first = await self.reader.readexactly(1)
                await self._receive(first[0])
                self._heard_s = 0
        except EOFError:
            pass
        except Exception as error:  # without this task there is no connection
            reason = error
        self._lose(reason)

    async def _receive(self, first):
        length = await self._read_length()
        kind = first & 0xF0
        if kind == _PUBLISH:
            await self._receive_message(first, length)
            return
        if length > 4:
            raise MQTTException("malformed packet 0x%02x" % first)
        body = await self.reader.readexactly(length) if length else b""
        if kind == _PINGRESP:
            self._pinged_s = None
        elif length > 1 and self._awaited == (kind, body[0] << 8 | body[1]):
            self._awaited = body[-1]
            self._answered.set()

    async def _receive_message(self, first, length):
        has_pid = first & 0x06
        if has_pid > 0x02:
            raise MQTTException("a message at QoS 2, which was not subscribed")
        if length > INCOMING_MAX or not _is_free(2 * length + 1):
            await self._skip_message(first, length)
            return
        body = await self.reader.readexactly(length)
        end = 2 + (body[0] << 8 | body[1])
        start = end + 2 if has_pid else end
        if start > length:
            raise MQTTException("malformed PUBLISH")
        if self._callback:
            self._callback(body[2:end], body[start:], bool(first & 1))
        if has_pid:
            await self.send(bytes([_PUBACK, 2]) + body[end:start])

    async def _skip_message(self, first, length):
        """One that is too long is acknowledged, too, or it would be sent again."""
        read = self.reader.readexactly
        head = await read(2)
        topic_length = head[0] << 8 | head[1]
        length -= 2 + topic_length + (2 if first & 0x06 else 0)
        if length < 0 or topic_length > _CHUNK:
            raise MQTTException("malformed PUBLISH")
        topic = await read(topic_length)
        pid = await read(2) if first & 0x06 else None
        crc = 0
        while length:
            part = await read(min(length, _CHUNK))
            crc = crc32(part, crc)
            length -= len(part)
        if self._callback:
            self._callback(topic, crc, bool(first & 1))
        if pid:
            await self.send(bytes([_PUBACK, 2]) + pid)

    async def _read_length(self):
        length = 0
        for shift in (0, 7, 14, 21):
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return length
        raise MQTTException("malformed length")

    def _lose(self, reason):
        if self.is_connected:
            self.is_connected = False
            self.reason = "connection lost: %s" % (reason,)
            if self.on_lost:
                self.on_lost()
        self._answered.set()

    def _next_pid(self):
        """1 to 65535 (2.3.1), and none that a message still has."""
        self.pid = self.pid % 65535 + 1
        while self.pid in self._unacked.values():
            self.pid = self.pid % 65535 + 1
        return self.pid


def _is_free(length):
    """Whether there is such a piece of heap: `readexactly` glues what it reads."""
    try:
        return bool(bytearray(length))
    except MemoryError:
        return False


def packet(first, *parts):
    """A packet: its first byte, its length, and what it is made of."""
    head = bytearray([first])
    length = sum([len(part) for part in parts])
    while True:
        digit = length & 0x7F
        length >>= 7
        head.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(head) + b"".join(parts)


def string(text):
    """A text or bytes, with its length in front (1.5.3)."""
    data = text.encode() if isinstance(text, str) else text
    return len(data).to_bytes(2, "big") + data
