"""The main loop: sample, publish, stay connected. Each task restarts alone."""

import asyncio
import gc
import json
import time

from egiz_schema import limits, topics

from egiz_edge import telemetry
from egiz_edge.aggregate import Window
from egiz_edge.backoff import Backoff
from egiz_edge.mqtt import MQTTClient
from egiz_edge.outbox import Outbox
from egiz_edge.sensors import Sensors

FIRMWARE_VERSION = "0.1.0"

_RESTART_S = 1  # after a task has failed
_STOP_S = 5  # for the last messages


class App:
    """A device.

    Args:
        board: a port's `Board`.
        settings: `Settings`.
        log: called with each line that a person may want to read.
    """

    def __init__(self, board, settings, log):
        self._board = board
        self._settings = settings
        self._log = log
        self._sensors = Sensors(board, settings.zones)
        self._window = Window()
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._seq = 0
        self._boot = int(board.store.get("boot") or 0) + 1
        board.store.put("boot", str(self._boot))
        self._uptime_ms = 0
        self._ticks = time.ticks_ms()
        self._config_outcome = None  # (rev, error or None) of the last config message
        self._has_news = False
        self.acked = {"telemetry": 0, "status": 0}
        self._client = self._new_client()

    @property
    def unacked(self):
        """Telemetry messages that wait for their PUBACK."""
        return len(self._outbox)

    async def run(self):
        """Until `stop` is called."""
        tasks = [
            asyncio.create_task(self._forever(self._sample)),
            asyncio.create_task(self._forever(self._publish)),
        ]
        await self._forever(self._stay_connected)
        for task in tasks:
            task.cancel()

    def stop(self):
        """Publish what is due, say offline, disconnect."""
        self._is_stopping = True
        self._wake.set()

    async def _forever(self, task):
        while not self._is_stopping:
            try:
                await task()
            except Exception as fault:
                self._log("task failed, restarting: %r" % fault)
                await asyncio.sleep(_RESTART_S)

    async def _sample(self):
        due = time.ticks_ms()
        while True:
            await self._sensors.sample(self._window)
            due = await _sleep_until(due, self._settings.sampling_rate_ms)

    async def _publish(self):
        due = time.ticks_ms()
        while True:
            due = await _sleep_until(due, self._settings.publish_rate_ms)
            settings = self._settings
            named = telemetry.head(
                settings.device_id,
                self._board.clock.now_ms(),
                self._seq,
                self._boot,
            )
            payload = telemetry.telemetry(
                named, self._window, settings.setpoint, self._health()
            )
            self._window.clear()
            self._seq += 1
            self._outbox.put(payload)
            self._wake.set()
            gc.collect()

    async def _stay_connected(self):
        backoff = Backoff()
        while not self._is_stopping:
            try:
                await self._board.wifi.connect()
                await self._client.connect()
                await self._client.subscribe(self._topic("config"), 1)
                await self._report("online")
                self._log("connected")
                backoff.reset()
                await self._send_outbox()
            except OSError as fault:
                wait_ms = backoff.next_ms()
                self._log("no broker (%s), again in %d ms" % (fault, wait_ms))
                await asyncio.sleep(wait_ms / 1000)
        await self._leave()

    async def _send_outbox(self):
        """Oldest first, until the connection is lost (OSError) or the device stops."""
        topic = self._topic("telemetry")
        while not self._is_stopping:
            payload = self._outbox.peek()
            if payload is None:
                self._wake.clear()
                await self._wake.wait()
                if not self._client.is_connected:
                    raise OSError("connection lost")
                if self._has_news:
                    await self._report("online")
                continue
            await self._send_telemetry(topic, payload)

    async def _send_telemetry(self, topic, payload):
        is_history = len(self._outbox) > 1
        if is_history:  # not current state: nobody who comes later should get it first
            payload = telemetry.as_buffered(payload)
        await self._client.publish(topic, payload, not is_history, 1)
        self._outbox.drop()
        self.acked["telemetry"] += 1

    async def _report(self, state):
        members = [
            '"timestamp":%d,"ms":%d' % divmod(self._board.clock.now_ms(), 1000),
            '"schema":"%d"' % limits.WIRE_VERSION,
            '"firmware_version":' + telemetry.text(FIRMWARE_VERSION),
            '"health":{' + ",".join(self._health()) + "}",
        ]
        if self._config_outcome is not None:
            members.append(_config_state(*self._config_outcome))
        payload = telemetry.status(self._settings.device_id, state, self._boot, members)
        self._has_news = False
        await self._client.publish(self._topic("status"), payload, True, 1)
        self.acked["status"] += 1

    async def _leave(self):
        try:
            if self._client.is_connected:
                topic = self._topic("telemetry")
                while self._outbox.peek() is not None:
                    await self._send_telemetry(topic, self._outbox.peek())
                await self._report("offline")
                await self._client.disconnect()
        except OSError as fault:
            self._log("left without good-bye: %s" % fault)

    def _new_client(self):
        settings = self._settings
        client = MQTTClient(
            settings.device_id,
            settings.host,
            settings.port,
            settings.user,
            settings.password,
        )
        will = telemetry.status(settings.device_id, "offline", self._boot)
        client.set_last_will(self._topic("status"), will, True, 1)
        client.set_callback(self._configure)
        client.on_lost = self._wake.set
        return client

    def _configure(self, _topic, msg, _retain):
        """Apply the desired state; what came of it is reported in the status."""
        rev, error = 0, None
        try:
            config = json.loads(msg)
            rev = config.get("rev", 0)
            self._settings.apply(config)
        except (ValueError, AttributeError) as fault:
            error = str(fault)[: limits.TEXT_MAX]
        self._log("config %d: %s" % (rev, error or "applied"))
        self._config_outcome = (rev, error)
        self._has_news = True
        self._wake.set()

    def _health(self):
        members = ['"uptime_seconds":%d' % self._uptime_s()]
        rssi = self._board.wifi.rssi()
        if rssi is not None:
            members.append('"wifi_rssi":%d' % rssi)
        if hasattr(gc, "mem_free"):
            members.append('"free_memory_bytes":%d' % gc.mem_free())
        members.append('"buffer_depth":%d' % len(self._outbox))
        members.append('"dropped":%d' % self._outbox.dropped)
        if not self._board.clock.is_synced():
            members.append('"time_synced":false')
        return members

    def _uptime_s(self):
        now = time.ticks_ms()  # wraps after days, so it is added up
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms // 1000

    def _topic(self, kind):
        return topics.join_topic(
            self._settings.facility, self._settings.device_id, kind
        )


def _config_state(rev, error):
    if error is None:
        return '"config":{"rev":%d,"applied":true}' % rev
    told = telemetry.text(error)
    return '"config":{"rev":%d,"applied":false,"error":%s}' % (rev, told)


async def _sleep_until(due, period_ms):
    """Sleep until `period_ms` after `due`; gives that instant, or now if it is past."""
    due = time.ticks_add(due, period_ms)
    left = time.ticks_diff(due, time.ticks_ms())
    if left > 0:
        await asyncio.sleep(left / 1000)
        return due
    await asyncio.sleep(0)
    return time.ticks_ms()
