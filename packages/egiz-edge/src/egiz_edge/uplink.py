"""Connection to the broker: Wi-Fi and session, each with a backoff of its own.

The Wi-Fi is kept when the broker cannot be reached.
"""

import asyncio
import time

from egiz_edge import payloads, unload
from egiz_edge.mqtt import MQTTClient
from egiz_edge.ticker import Backoff

CLOSED_MS = (2000, 60000)  # waits, once the broker closes one session after another
SHORT_MS = 30000  # a session that lasts longer is none of those

_STEP_MS = 1000  # of a wait that may be cut short
_CLOSED = 3  # short sessions in a row until the waits grow


class Uplink:
    """Publishes the outbox and the status, and receives config and commands.

    Args:
        wifi: the board's.
        settings: `Settings`; read at each connection, so a change needs `reconnect`.
        outbox: telemetry that waits.
        timekeeper: `Timekeeper`; what waits is sent once it is ready.
        names: `Names`.
        report: `report(state)` gives the payload of a status message.
        log: called with each line that a person may want to read.

    Attributes:
        is_subscribed: whether the broker has refused none of our topics.
        state: of the status before DISCONNECT.
        network: the `Backoff` between two tries of the Wi-Fi.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # each is another part of the device
        self, wifi, settings, outbox, timekeeper, names, report, log
    ):
        from egiz_schema import topics  # noqa: PLC0415  # not kept, see unload

        status = topics.join_topic(settings.facility, settings.device_id, "status")
        self._prefix = status[: -len("status")]
        self._wifi = wifi
        self._settings = settings
        self._outbox = outbox
        self._time = timekeeper
        self._names = names
        self._report = report
        self._log = log
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._has_news = False
        self._live_from = 0  # messages from this position on were made in this session
        self._tried = None  # (position, payload) of the message without PUBACK
        self._callbacks = {}
        self.network = Backoff()
        self._broker_backoff = Backoff()
        self._closed_backoff = Backoff(CLOSED_MS[0], CLOSED_MS[1])
        self._short = 0  # sessions in a row that were closed soon after CONNECT
        self._waited_ms = self._left_ms = 0  # before this session; still to wait
        self._began = None  # ticks of this session
        self._client = MQTTClient(settings.device_id, settings.host)
        self._client.set_callback(self._receive)
        self._client.on_lost = self._client.on_watch = self._wake.set
        self.is_subscribed = True
        self.state = "offline"
        self.acked = {"telemetry": 0, "status": 0}
        self.turns = 0  # grows as long as the task makes progress, also when offline

    @property
    def is_connected(self):
        """Whether there is a session with the broker."""
        return self._client.is_connected

    @property
    def is_closed_again(self):
        """Whether the broker closes one session after another, soon after CONNECT."""
        return self._short >= _CLOSED

    def period_ms(self):
        """Between two changes of `turns`, beside what the network may take."""
        return 0

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
        """Close the connection, and connect with the settings as they are now."""
        self._began = None  # it was not the broker that ended it
        self._left_ms = 0
        await self._client.close()
        self._wake.set()

    def stop(self, state="offline"):
        """`run` publishes what is due and this state, disconnects, and returns."""
        self.state = state
        self._is_stopping = True
        self._wake.set()

    async def run(self):
        """Stay connected and publish, until `stop` is called."""
        while not self._is_stopping:
            if await self._attempt(self._join, "no network"):
                await self._attempt(self._session, "no broker")
        await self._disconnect()

    async def _attempt(self, layer, failure):
        """Whether it succeeded; if not, log it and wait for the backoff."""
        self.turns += 1
        try:
            await layer()
        except OSError as error:
            await self._client.close()
            wait_ms = self._backoff(failure, str(error)).next_ms()
            self._log("%s (%s), retry in %d ms" % (failure, error, wait_ms))
            await self._wait(wait_ms)
            return False
        return True

    def _backoff(self, failure, reason):
        if failure == "no network":
            return self.network
        if self._began is not None and not reason.endswith("in time"):
            self._count_session()
        self._began = None
        return self._closed_backoff if self.is_closed_again else self._broker_backoff

    def _count_session(self):
        """It was closed by the broker, for a reason that MQTT 3.1.1 does not send."""
        if self._has_lasted():
            return
        self._short += 1
        if self._short == _CLOSED:
            self._log(
                "the broker closes one session after another: does another device have"
                " the id %s, or does the broker refuse what this one publishes?"
                % self._client.client_id
            )

    def _has_lasted(self):
        """Whether this session is none of those that are closed soon.

        Where two devices close each other's sessions, one lasts as long as the other
        device waits.
        """
        lasted_ms = time.ticks_diff(time.ticks_ms(), self._began)
        # Below 0 once the difference of the ticks has wrapped, after 6 days.
        return not 0 <= lasted_ms <= max(SHORT_MS, 2 * self._waited_ms)

    async def _wait(self, ms):
        """For a backoff, which may be long."""
        self._waited_ms = self._left_ms = ms
        while self._left_ms > 0 and not self._is_stopping:
            self.turns += 1
            step_ms = min(self._left_ms, _STEP_MS)
            await asyncio.sleep(step_ms / 1000)
            self._left_ms -= step_ms

    async def _join(self):
        await self._wifi.connect()
        self.network.reset()

    async def _session(self):
        """From CONNECT until the connection is lost (OSError) or the device stops."""
        await self._begin()
        await self._publish_status("online")
        self._log("connected")
        self._broker_backoff.reset()
        while not self._is_stopping:
            self.turns += 1
            if self._short and self._has_lasted():
                self._forget_closed()
            if self._has_news:
                await self._publish_status("online")
            elif len(self._outbox) and self._time.is_ready():
                await self._publish_next()
            else:
                await self._sleep()

    def _forget_closed(self):
        self._has_news = self._has_news or self.is_closed_again
        self._short = 0
        self._closed_backoff.reset()

    async def _begin(self):
        """Connect and subscribe; the birth is the caller's."""
        from egiz_edge import connecting  # noqa: PLC0415  # not kept, see unload

        client = self._client
        try:
            await connecting.prepare(client, self._settings, self._names)
            self.turns += 1  # a look-up may last as long as what follows
            await client.connect()
            self._began = time.ticks_ms()
            self._names.keep(client.server, client.address)
            self._live_from = self._outbox.end
            self.is_subscribed = True
            for kind in self._callbacks:
                topic = self._topic(kind)
                self.is_subscribed &= await connecting.subscribe(
                    client, topic, self._log
                )
        finally:
            unload("connecting", "tls")

    async def _sleep(self):
        """Until there is something to do, and for a second at most: see `on_watch`."""
        await self._wake.wait()
        self._wake.clear()
        if not self._client.is_connected:
            raise OSError(self._client.reason)

    async def _publish_next(self):
        """New messages go before buffered ones; acknowledged ones leave the outbox."""
        message, is_live = self._next()
        if message is None:  # all that waited was damaged
            return
        position, payload = message
        payload = self._time.corrected(payload)
        if not is_live:  # not the current state, so not retained either
            payload = payloads.as_buffered(payload)
        is_again, self._tried = message is self._tried, message
        topic = self._topic("telemetry")
        await self._client.publish(topic, payload, is_live, 1, is_again)
        self._tried = None
        self._outbox.done(position)
        self._live_from = min(self._live_from, self._outbox.end)
        self.acked["telemetry"] += 1

    def _next(self):
        """(message, whether it is live); a message is (position, payload), or None.

        One that may have arrived goes first, also if it made room meanwhile: with its
        PUBACK it no longer counts as dropped.
        """
        if self._tried is not None:
            return self._tried, False
        newest = self._outbox.newest()
        if newest is not None and newest[0] >= self._live_from:
            return newest, True
        return self._outbox.peek(), False

    async def _publish_status(self, state):
        self._has_news = False
        await self._client.publish(self._topic("status"), self._report(state), True, 1)
        self.acked["status"] += 1

    async def _disconnect(self):
        try:
            if self._client.is_connected:
                while len(self._outbox):
                    self.turns += 1
                    await self._publish_next()
                await self._publish_status(self.state)
                await self._client.disconnect()
        except OSError as error:
            self._log(
                "closed without DISCONNECT (%s): the broker publishes the last will"
                % error
            )
        finally:
            self._outbox.flush()

    def _receive(self, topic, msg, retain):
        """Pass a message on; no message ends the connection."""
        try:
            callback = self._callbacks.get(topic.decode().rsplit("/", 1)[-1])
            if callback:
                callback(msg, retain)
        except Exception as error:
            self._log("message to %s ignored: %r" % (topic, error))

    def _topic(self, kind):
        return self._prefix + kind
