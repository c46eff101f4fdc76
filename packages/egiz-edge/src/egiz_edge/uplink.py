"""The way to the broker: Wi-Fi and session, each kept up with a backoff of its own.

A broker that is gone is no reason to leave the Wi-Fi, and the other way round.
"""

import asyncio

from egiz_edge import payloads
from egiz_edge.backoff import Backoff
from egiz_edge.mqtt import MQTTClient

_IDLE_S = 5  # `turns` grows at least as often


class Uplink:
    """Publishes the outbox and the status, and takes what the device is told.

    Args:
        wifi: the board's.
        settings: `Settings`; read at each connection, so a change takes `reconnect`.
        outbox: telemetry that waits.
        timekeeper: `Timekeeper`; what waits is sent once it is settled.
        report: `report(state)` gives the payload of a status message.
        log: called with each line that a person may want to read.
    """

    def __init__(self, wifi, settings, outbox, timekeeper, report, log):
        from egiz_schema import topics  # noqa: PLC0415  # not kept, see downlink

        self._topics = {
            kind: topics.join_topic(settings.facility, settings.device_id, kind)
            for kind in topics.KINDS
        }
        self._wifi = wifi
        self._settings = settings
        self._outbox = outbox
        self._time = timekeeper
        self._report = report
        self._log = log
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._has_news = False
        self._live_from = 0  # messages from this position on came in this session
        self._tried = None  # position of the message without PUBACK
        self._callbacks = {}
        self._wifi_backoff = Backoff()
        self._broker_backoff = Backoff()
        self._client = MQTTClient(settings.device_id, settings.host)
        self._client.set_callback(self._take)
        self._client.on_lost = self._wake.set
        self.acked = {"telemetry": 0, "status": 0}
        self.turns = 0  # grows as long as the task makes progress, also when offline

    @property
    def is_connected(self):
        """Whether there is a session with the broker."""
        return self._client.is_connected

    def set_last_will(self, payload):
        """The status that the broker publishes for us if the connection breaks."""
        self._client.set_last_will(self._topic("status"), payload, True, 1)

    def set_callback(self, kind, callback):
        """`callback(msg, retain)` is called with each message of our topic `kind`."""
        self._callbacks[kind] = callback

    def send(self, payload):
        """Publish telemetry, now or when there is a broker."""
        self._outbox.put(payload)
        self._wake.set()

    def report_soon(self):
        """The status has changed: publish it."""
        self._has_news = True
        self._wake.set()

    async def reconnect(self):
        """Break off, and connect with the settings as they are now."""
        await self._client.close()
        self._wake.set()

    def stop(self):
        """`run` publishes what is due, says offline, disconnects, and returns."""
        self._is_stopping = True
        self._wake.set()

    async def run(self):
        """Stay connected and publish, until `stop` is called."""
        while not self._is_stopping:
            if await self._attempt(self._join, self._wifi_backoff, "no network"):
                await self._attempt(self._session, self._broker_backoff, "no broker")
        await self._leave()

    async def _attempt(self, layer, backoff, complaint):
        """Whether it went well; if not, that is told, and waited after."""
        self.turns += 1
        try:
            await layer()
        except OSError as fault:
            await self._client.close()
            wait_ms = backoff.next_ms()
            self._log("%s (%s), again in %d ms" % (complaint, fault, wait_ms))
            await asyncio.sleep(wait_ms / 1000)
            return False
        return True

    async def _join(self):
        await self._wifi.connect()
        self._wifi_backoff.reset()

    async def _session(self):
        """From CONNECT until the connection is lost (OSError) or the device stops."""
        await self._connect()
        for kind in self._callbacks:
            await self._subscribe(kind)
        await self._publish_status("online")
        self._log("connected")
        self._broker_backoff.reset()
        while not self._is_stopping:
            self.turns += 1
            if self._has_news:
                await self._publish_status("online")
            elif len(self._outbox) and self._time.is_settled():
                await self._publish_next()
            else:
                await self._sleep()

    async def _connect(self):
        client, settings = self._client, self._settings
        client.server, client.port = settings.host, settings.port
        client.user, client.password = settings.user, settings.password
        if settings.tls and client.ssl is None:
            from egiz_edge import tls  # noqa: PLC0415  # it costs heap, and few need it

            client.ssl = tls.context(settings.tls)
        await client.connect()
        self._live_from = self._outbox.end

    async def _subscribe(self, kind):
        """What the broker refuses to tell us is no reason not to tell it anything."""
        try:
            await self._client.subscribe(self._topic(kind), 1)
        except OSError as fault:
            if not self._client.is_connected:
                raise
            self._log("%s: %s" % (kind, fault))

    async def _sleep(self):
        """Until there is something to do."""
        try:
            await asyncio.wait_for(self._wake.wait(), _IDLE_S)
        except asyncio.TimeoutError:
            pass
        self._wake.clear()
        if not self._client.is_connected:
            raise OSError(self._client.reason)

    async def _publish_next(self):
        """What is new goes before what waited; once acknowledged, it is forgotten."""
        message = self._outbox.newest()
        is_live = message is not None and message[0] >= self._live_from
        if not is_live:
            message = self._outbox.peek()
        if message is None:  # all that waited is damaged
            return
        position, payload = message
        payload = self._time.corrected(payload)
        if not is_live:  # it is not current state: nobody who comes later should get it
            payload = payloads.as_buffered(payload)
        is_again, self._tried = position == self._tried, position
        topic = self._topic("telemetry")
        await self._client.publish(topic, payload, is_live, 1, is_again)
        self._tried = None
        self._outbox.done(position)
        self._live_from = min(self._live_from, self._outbox.end)
        self.acked["telemetry"] += 1

    async def _publish_status(self, state):
        self._has_news = False
        await self._client.publish(self._topic("status"), self._report(state), True, 1)
        self.acked["status"] += 1

    async def _leave(self):
        try:
            if self._client.is_connected:
                while len(self._outbox):
                    await self._publish_next()
                await self._publish_status("offline")
                await self._client.disconnect()
        except OSError as fault:
            self._log("left without good-bye: %s" % fault)
        finally:
            self._outbox.flush()

    def _take(self, topic, msg, retain):
        """Whatever somebody sends, the connection survives it."""
        try:
            callback = self._callbacks.get(topic.decode().rsplit("/", 1)[-1])
            if callback:
                callback(msg, retain)
        except Exception as fault:
            self._log("message to %s: %r" % (topic, fault))

    def _topic(self, kind):
        return self._topics[kind]
