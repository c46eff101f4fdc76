"""MQTT 3.1.1 for asyncio, with the names and argument order of umqtt.simple.

One QoS 1 message is in flight at a time, every wait has a deadline, packet ids wrap.
A method that fails raises OSError; after that, `connect` again.
Section numbers are those of the OASIS standard, MQTT Version 3.1.1.
"""

import asyncio

DEADLINE_S = 5  # for whatever the broker owes an answer
INCOMING_MAX = 4096  # bytes; longer messages are read and dropped

_CONNECT, _CONNACK = 0x10, 0x20
_PUBLISH, _PUBACK = 0x30, 0x40
_SUBSCRIBE, _SUBACK = 0x82, 0x90
_PINGREQ, _PINGRESP = 0xC0, 0xD0
_DISCONNECT = 0xE0


class MQTTException(OSError):
    """The broker refused; args[0] is its return code (3.2.2.3) or a sentence."""


class MQTTClient:
    """A client that the caller reconnects; `on_lost` is called when that is needed."""

    def __init__(
        self, client_id, server, port=1883, user=None, password=None, keepalive=20
    ):
        self.client_id = client_id
        self.server = server
        self.port = port
        self.user = user
        self.password = password
        self.keepalive = keepalive  # seconds
        self.on_lost = None
        self._callback = None
        self._will = None
        self._pid = 0
        self._lock = asyncio.Lock()
        self._answered = asyncio.Event()
        self._awaited = None  # (packet type, packet id) that somebody waits for
        self._reader = self._writer = self._listener = None
        self.is_connected = False

    def set_callback(self, callback):
        """`callback(topic, msg, retain)` is called with each message, as bytes."""
        self._callback = callback

    def set_last_will(self, topic, msg, retain=False, qos=0):
        """What the broker publishes for us if the connection breaks."""
        self._will = (topic, msg, retain, qos)

    async def connect(self, clean_session=True):
        """Connect; subscriptions are made anew by the caller."""
        await self.close()
        try:
            self._reader, self._writer = await asyncio.wait_for(
                asyncio.open_connection(self.server, self.port), DEADLINE_S
            )
            await self._send(self._connect_packet(clean_session))
            answer = await asyncio.wait_for(self._reader.readexactly(4), DEADLINE_S)
        except (EOFError, asyncio.TimeoutError):
            await self.close()
            raise MQTTException("no CONNACK")
        if answer[0] != _CONNACK or answer[3]:
            await self.close()
            raise MQTTException(answer[3])
        self.is_connected = True
        self._listener = asyncio.create_task(self._listen())

    async def publish(self, topic, msg, retain=False, qos=0, dup=False):
        """Publish; at QoS 1, returns when the broker has acknowledged it."""
        flags = _PUBLISH | (8 if dup else 0) | (qos << 1) | (1 if retain else 0)
        if not qos:
            await self._send(_packet(flags, _string(topic) + msg))
            return
        async with self._lock:
            pid = self._next_pid()
            body = _string(topic) + pid.to_bytes(2, "big") + msg
            await self._ask(_packet(flags, body), (_PUBACK, pid))

    async def subscribe(self, topic, qos=0):
        """Subscribe; returns when the broker has granted it."""
        async with self._lock:
            pid = self._next_pid()
            body = pid.to_bytes(2, "big") + _string(topic) + bytes([qos])
            await self._ask(_packet(_SUBSCRIBE, body), (_SUBACK, pid))

    async def ping(self):
        """Ask for a sign of life; `publish` and the keepalive make it superfluous."""
        await self._send(bytes([_PINGREQ, 0]))

    async def disconnect(self):
        """Say good-bye: the broker keeps the last will to itself."""
        if self.is_connected:
            await self._send(bytes([_DISCONNECT, 0]))
        await self.close()

    async def close(self):
        """Break off."""
        self.is_connected = False
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _ask(self, packet, awaited):
        """Send, and wait for the answer (packet type, packet id)."""
        self._answered.clear()
        self._awaited = awaited
        await self._send(packet)
        try:
            await asyncio.wait_for(self._answered.wait(), DEADLINE_S)
        except asyncio.TimeoutError:
            self._lose()
            raise MQTTException("no answer in time")
        if self._awaited is not None:
            raise MQTTException("connection lost, or subscription refused")

    async def _send(self, packet):
        if self._writer is None:
            raise MQTTException("not connected")
        try:
            self._writer.write(packet)
            await asyncio.wait_for(self._writer.drain(), DEADLINE_S)
        except (OSError, asyncio.TimeoutError):
            self._lose()
            raise MQTTException("cannot send")

    async def _listen(self):
        """Take what the broker sends, and ping when it is silent, until it breaks."""
        is_pinged = False
        try:
            while self.is_connected:
                try:
                    first = await asyncio.wait_for(
                        self._reader.readexactly(1), self.keepalive / 2
                    )
                except asyncio.TimeoutError:
                    if is_pinged:
                        break  # half-open: it owes a PINGRESP
                    await self.ping()
                    is_pinged = True
                    continue
                is_pinged = False
                await asyncio.wait_for(self._take(first[0]), DEADLINE_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass
        self._lose()

    async def _take(self, first):
        length = await self._read_length()
        if length > INCOMING_MAX:
            while length:
                length -= len(await self._reader.readexactly(min(length, 256)))
            return
        body = await self._reader.readexactly(length) if length else b""
        kind = first & 0xF0
        if kind == _PUBLISH:
            await self._take_message(first, body)
        elif len(body) > 1 and self._awaited == (kind, body[0] << 8 | body[1]):
            if kind == _PUBACK or body[2] != 0x80:  # else the subscription is refused
                self._awaited = None
            self._answered.set()

    async def _take_message(self, first, body):
        end = 2 + (body[0] << 8 | body[1])
        topic = body[2:end]
        if first & 0x06:
            await self._send(bytes([_PUBACK, 2, body[end], body[end + 1]]))
            end += 2
        if self._callback:
            self._callback(topic, body[end:], bool(first & 1))

    async def _read_length(self):
        length = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                return length
            shift += 7

    def _lose(self):
        was_connected, self.is_connected = self.is_connected, False
        self._answered.set()
        if was_connected and self.on_lost:
            self.on_lost()

    def _next_pid(self):
        self._pid = self._pid % 65535 + 1
        return self._pid

    def _connect_packet(self, clean_session):
        flags = 2 if clean_session else 0
        fields = _string(self.client_id)
        if self._will:
            topic, msg, retain, qos = self._will
            flags |= 0x04 | (qos << 3) | (0x20 if retain else 0)
            fields += _string(topic) + _string(msg)
        if self.user is not None:
            flags |= 0x80
            fields += _string(self.user)
            if self.password is not None:
                flags |= 0x40
                fields += _string(self.password)
        head = _string("MQTT") + bytes([4, flags]) + self.keepalive.to_bytes(2, "big")
        return _packet(_CONNECT, head + fields)


def _packet(first, body):
    head = bytearray([first])
    length = len(body)
    while True:
        digit = length & 0x7F
        length >>= 7
        head.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(head) + body


def _string(text):
    data = text.encode() if isinstance(text, str) else text
    return len(data).to_bytes(2, "big") + data
