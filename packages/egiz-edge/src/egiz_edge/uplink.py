"""The way to the broker: Wi-Fi and session, each kept up with a backoff of its own.

A broker that is gone is no reason to leave the Wi-Fi, and the other way round.
"""

import asyncio

from egiz_schema import topics

from egiz_edge import telemetry
from egiz_edge.backoff import Backoff
from egiz_edge.mqtt import MQTTClient

_IDLE_S = 5  # `turns` grows at least as often


class Uplink:
    """Publishes the outbox and the status, and takes what the device is told.

    Args:
        wifi: the board's.
        settings: `Settings`; read at each connection, so a change takes `reconnect`.
        outbox: telemetry that waits.
        report: `report(state)` gives the payload of a status message.
        log: called with each line that a person may want to read.
    """

    def __init__(self, wifi, settings, outbox, report, log):
        self._wifi = wifi
        self._settings = settings
        self._outbox = outbox
        self._report = report
        self._log = log
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._has_news = False
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
            await self._client.subscribe(self._topic(kind), 1)
        await self._publish_status("online")
        self._log("connected")
        self._broker_backoff.reset()
        while not self._is_stopping:
            self.turns += 1
            if self._has_news:
                await self._publish_status("online")
            elif self._outbox.peek() is not None:
                await self._publish_oldest()
            else:
                await self._sleep()

    async def _connect(self):
        client, settings = self._client, self._settings
        client.server, client.port = settings.host, settings.port
        client.user, client.password = settings.user, settings.password
        await client.connect()

    async def _sleep(self):
        """Until there is something to do."""
        try:
            await asyncio.wait_for(self._wake.wait(), _IDLE_S)
        except asyncio.TimeoutError:
            pass
        self._wake.clear()
        if not self._client.is_connected:
            raise OSError("connection lost")

    async def _publish_oldest(self):
        """Once it is acknowledged, it is forgotten."""
        payload = self._outbox.peek()
        is_history = len(self._outbox) > 1
        if is_history:  # not current state: nobody who comes later should get it first
            payload = telemetry.as_buffered(payload)
        topic = self._topic("telemetry")
        await self._client.publish(topic, payload, not is_history, 1)
        self._outbox.drop()
        self.acked["telemetry"] += 1

    async def _publish_status(self, state):
        self._has_news = False
        await self._client.publish(self._topic("status"), self._report(state), True, 1)
        self.acked["status"] += 1

    async def _leave(self):
        try:
            if self._client.is_connected:
                while self._outbox.peek() is not None:
                    await self._publish_oldest()
                await self._publish_status("offline")
                await self._client.disconnect()
        except OSError as fault:
            self._log("left without good-bye: %s" % fault)

    def _take(self, topic, msg, retain):
        callback = self._callbacks.get(topic.decode().rsplit("/", 1)[-1])
        if callback:
            callback(msg, retain)

    def _topic(self, kind):
        return topics.join_topic(
            self._settings.facility, self._settings.device_id, kind
        )
