"""The device: samples, makes messages of them, and hands them to the uplink.

Each task restarts alone.
"""

import asyncio
import gc
import json
import time

from egiz_schema import limits

from egiz_edge import telemetry
from egiz_edge.aggregate import Window
from egiz_edge.outbox import Outbox
from egiz_edge.sensors import Sensors
from egiz_edge.uplink import Uplink

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
        self._outbox = Outbox(board.data_directory + "/outbox")
        self._is_stopping = False
        self._seq = 0
        self._boot = int(board.store.get("boot") or 0) + 1
        board.store.put("boot", str(self._boot))
        self._uptime_ms = 0
        self._ticks = time.ticks_ms()
        self._config_outcome = None  # (rev, error or None) of the last config message
        self._uplink = Uplink(board.wifi, settings, self._outbox, self._status, log)
        will = telemetry.status(settings.device_id, "offline", self._boot)
        self._uplink.set_last_will(will)
        self._uplink.set_callback("config", self._configure)

    @property
    def acked(self):
        """How many messages of each kind the broker has acknowledged."""
        return self._uplink.acked

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
        await self._forever(self._uplink.run)
        for task in tasks:
            task.cancel()

    def stop(self):
        """Publish what is due, say offline, disconnect."""
        self._is_stopping = True
        self._uplink.stop()

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
            self._uplink.send(payload)
            gc.collect()

    def _status(self, state):
        members = [
            '"timestamp":%d,"ms":%d' % divmod(self._board.clock.now_ms(), 1000),
            '"schema":"%d"' % limits.WIRE_VERSION,
            '"firmware_version":' + telemetry.text(FIRMWARE_VERSION),
            '"health":{' + ",".join(self._health()) + "}",
        ]
        if self._config_outcome is not None:
            members.append(_config_state(*self._config_outcome))
        return telemetry.status(self._settings.device_id, state, self._boot, members)

    def _configure(self, msg, _retain):
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
        self._uplink.report_soon()

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
