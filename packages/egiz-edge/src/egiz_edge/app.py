"""The device: samples, publishes, and handles config and commands.

The tasks here and in uplink.py are kept running by the supervisor; config and commands
are processed by desired_config.py and commands.py.
"""

import asyncio
import gc
import time

from egiz_edge import boot_loop, payloads, timeouts
from egiz_edge.downlink import RULES, Downlink, unload
from egiz_edge.names import Names
from egiz_edge.outbox import Outbox
from egiz_edge.report import Report
from egiz_edge.sensors import Sensors
from egiz_edge.supervisor import Supervisor
from egiz_edge.ticker import Ticker
from egiz_edge.timekeeping import Timekeeper
from egiz_edge.uplink import Uplink
from egiz_edge.window import Window

_MAINTAIN_S = 0.5
_REPORT_S = 5  # for a result to arrive before a reboot


class App:
    """A device.

    Args:
        board: a port's `Board`.
        settings: `Settings`.
        log: called with each line that a person may want to read.
        reset_reason: what boot_loop.py has kept of the boot before.
        is_plain: whether to drop the configuration of the config topic, because the
            device crashed with it.
    """

    def __init__(self, board, settings, log, reset_reason="", is_plain=False):
        self.device_id = settings.device_id
        self._board = board
        self._settings = settings
        self._log = log
        self._is_stopping = False
        self._is_confirmed = False
        # First, so that a boot counts even if what follows crashes.
        self._report = Report(self.device_id, board, reset_reason)
        self._downlink = Downlink(self, board, settings, log)
        self._downlink.with_config(lambda config: config.restore(is_plain))
        self._trial_ticks = time.ticks_ms()
        self._outbox = Outbox(board.data_directory + "/outbox", settings.buffer_size)
        self._report.outbox = self._outbox
        self._window = Window()
        self._sensors = self._zones = None  # `_zones`: those of `_sensors`
        self._bus = asyncio.Lock()  # one task at a time uses the sensors
        self._seq = 0  # of the next message
        self._sampling = Ticker(lambda: settings.sampling_rate_ms)
        self._publishing = Ticker(lambda: settings.publish_rate_ms)
        self._acked = 0  # statuses, before the network changed
        self._supervisor = Supervisor(
            board.watchdog, log, self._note_stall, self._reset_without_memory
        )
        names = Names(board.wifi, board.store, log)
        self._time = Timekeeper(board, settings.ntp, self._report.boot, names, log)
        self._uplink = Uplink(
            board.wifi, settings, self._outbox, self._time, names, self._status, log
        )
        self._time.on_ready = self._uplink.report_soon
        self._uplink.set_last_will(self._report.last_will())
        self._uplink.set_callback("config", self._downlink.put_config)
        self._uplink.set_callback("command", self._downlink.put_command)
        self._join()
        for name, reason in settings.unusable.items():
            log("settings.json: %s: %s; it is not used" % (name, reason))
        unload(RULES)

    @property
    def acked(self):
        """How many messages of each kind the broker has acknowledged."""
        return self._uplink.acked

    @property
    def unacked(self):
        """Telemetry messages that wait for their PUBACK."""
        return len(self._outbox)

    async def run(self):
        """Run all tasks until `stop` is called."""
        start = self._supervisor.start
        start("sampling", self._sample, self._sampling)
        start("publishing", self._publish, self._publishing)
        start("network", self._connect, self._uplink)
        start("time", self._time.run)
        start("maintenance", self._maintain)
        await self._supervisor.run()

    def stop(self):
        """Publish what waits and the status `offline`, then disconnect."""
        self._is_stopping = True
        self._uplink.stop()

    def reset(self, cause):
        """Reset the board; the next boot reports `cause`."""
        self._outbox.flush()
        boot_loop.write(self._board.data_directory, 0, cause)  # not a crash
        self._board.reboot()

    def factory_reset(self):
        """Reset to what was provisioned, without configuration and waiting messages."""
        self._downlink.with_config(lambda config: config.erase())
        while (message := self._outbox.peek()) is not None:
            self._outbox.done(message[0])
        self.reset("reboot: factory_reset")

    async def reset_energy(self):
        """Set all energy counters to zero; gives a fault code for each failure."""
        async with self._bus:
            return await self._current_sensors().reset_energy()

    async def _connect(self):
        await self._uplink.run()
        self._supervisor.stop()

    async def _sample(self):
        try:
            async with self._bus:
                self._report.sensors = await self._current_sensors().found()
        except Exception as error:  # without the list the device samples as well
            self._log("sensors not listed, sampling goes on: %r" % error)
        while True:
            async with self._bus:
                await self._current_sensors().sample(self._window)
            await self._sampling.wait()

    async def sample_now(self):
        """Sample once more, and publish immediately."""
        async with self._bus:
            await self._current_sensors().sample(self._window)
        self._publishing.now()

    def _current_sensors(self):
        """The `Sensors` for the zones that the configuration names now."""
        if self._zones is not self._settings.zones:
            self._zones = self._settings.zones
            settings = self._settings
            self._sensors = Sensors(
                self._board, self._zones, settings.thermocouples, settings.states
            )
            self._window.clear()
        return self._sensors

    async def _publish(self):
        while True:
            await self._publishing.wait()
            if self._is_stopping:  # there would be no end to what is due
                return
            self._publish_window()
            gc.collect()

    def _publish_window(self):
        """Apart from `_publish`, which would keep the message until the next one."""
        window, settings = self._window, self._settings
        if settings.alerts is not None:
            for code in settings.alerts.evaluate(window):
                window.fault(code)
        named = payloads.head(
            settings.device_id, self._time.now_ms(), self._seq, self._report.boot
        )
        health = self._report.health()
        self._uplink.send(payloads.telemetry(named, window, settings.setpoint, health))
        self._seq += 1
        if set(window.faults) != set(self._report.faults):
            self._uplink.report_soon()
        self._report.faults = window.faults
        window.clear()

    async def _maintain(self):
        """All that has no task of its own: trial, messages, status, boot."""
        while True:
            await asyncio.sleep(_MAINTAIN_S)
            await self._check_trial()
            while self._downlink.is_waiting:
                await self._handle_message()
            if self._report.is_due(self._settings.report_rate_ms):
                self._uplink.report_soon()
            self._confirm_boot()

    async def _handle_message(self):
        """Process one message, report its outcome, and apply the new settings."""
        settings = self._settings
        network = (settings.host, settings.port, settings.wifi_ssid)
        after = await self._downlink.handle_next()
        if network != (settings.host, settings.port, settings.wifi_ssid):
            await self._move()
        else:
            await self._report_now()
        self._outbox.capacity = settings.buffer_size
        if after:
            after()

    async def _check_trial(self):
        """Confirm a network that leads to the broker; revert one that does not."""
        if not self._downlink.is_on_trial:
            return
        if self._uplink.acked["status"] > self._acked:
            self._downlink.with_config(lambda config: config.confirm())
            self._uplink.report_soon()
        elif time.ticks_diff(time.ticks_ms(), self._trial_ticks) > timeouts.TRIAL_MS:
            self._downlink.with_config(lambda config: config.revert())
            await self._move()

    async def _move(self):
        """Connect to the network and broker that the settings name now."""
        self._trial_ticks = time.ticks_ms()
        self._join()
        await self._uplink.reconnect()
        self._acked = self._uplink.acked[
            "status"
        ]  # later ones came over the new network

    def _join(self):
        """Join the Wi-Fi of the settings, if they name one."""
        if self._settings.wifi_ssid is not None:
            self._board.wifi.configure(
                self._settings.wifi_ssid, self._settings.wifi_password
            )

    async def _report_now(self):
        """Publish the status, and wait for its PUBACK, but not for long."""
        acked, tries = self._uplink.acked["status"], int(_REPORT_S / _MAINTAIN_S)
        self._uplink.report_soon()
        while self._uplink.acked["status"] == acked and tries:
            tries -= 1
            await asyncio.sleep(_MAINTAIN_S)

    def _confirm_boot(self):
        """Count no unconfirmed boots once the device has run well for a minute.

        And for each period: what stalls is noticed STALL_MS after its period.
        """
        if self._is_confirmed or self._supervisor.stalled is not None:
            return
        settings = self._settings
        period_ms = max(settings.sampling_rate_ms, settings.publish_rate_ms)
        if self._report.uptime_ms() > period_ms + timeouts.CONFIRM_MS:
            self._is_confirmed = True
            boot_loop.write(self._board.data_directory, 0)

    def _note_stall(self, name):
        boot_loop.note_reset(self._board.data_directory, "watchdog: %s stalled" % name)

    def _reset_without_memory(self, name):
        """After a reset memory has no holes; if that does not help, it is a crash."""
        reason = "crash: no memory for %s" % name
        self._log(reason)
        self._outbox.flush()
        boot_loop.note_reset(self._board.data_directory, reason)
        self._board.reboot()

    def _status(self, state):
        codes = ["settings:" + name for name in self._settings.unusable]
        if self._uplink.is_closed_again:
            codes.append("mqtt:session_closed")
        return self._report.status(state, self._downlink.members(), codes)
