"""The device: samples, publishes, and handles config and commands.

The tasks here and in uplink.py are kept running by the supervisor. startup.py puts the
parts together; processing.py handles messages, and is in memory only meanwhile.
"""

import asyncio
import gc
import time

from egiz_edge import boot_loop, payloads, timeouts, unload
from egiz_edge.downlink import Downlink
from egiz_edge.sensors import Sensors
from egiz_edge.supervisor import Supervisor
from egiz_edge.ticker import Ticker

_MAINTAIN_S = 0.5
_AWAY_MS = 60000  # without Wi-Fi, until a portal is thought of


class App:
    """A device.

    Args:
        board: a port's `Board`.
        settings: `Settings`.
        report: `Report`.
        log: called with each line that a person may want to read.

    Attributes:
        outbox: `Outbox`; set before `run`, as the next two.
        timekeeper: `Timekeeper`.
        uplink: `Uplink`.
        downlink: `Downlink`.
        bus: one task at a time uses the sensors.
        moved_ticks: since when the network of now is used.
        acked_before: statuses that were acknowledged before that.
    """

    def __init__(self, board, settings, report, log):
        self.board = board
        self.settings = settings
        self.log = log
        self.outbox = self.timekeeper = self.uplink = None
        self.downlink = Downlink(log)
        self.bus = asyncio.Lock()
        self.moved_ticks = time.ticks_ms()
        self.acked_before = 0
        self._up_ticks = time.ticks_ms()  # when there was Wi-Fi last
        self._watch = None  # see portal/network.py
        self._report = report
        self._is_stopping = False
        self._is_confirmed = False
        self._window = payloads.Window()
        self._sensors = self._zones = None  # `_zones`: those of `_sensors`
        self._seq = 0  # of the next message
        self._sampling = Ticker(lambda: settings.sampling_rate_ms)
        self._publishing = Ticker(lambda: settings.publish_rate_ms)
        self._supervisor = Supervisor(
            board.watchdog, log, self._note_stall, self._reset_without_memory
        )

    async def run(self):
        """Run all tasks until `stop` is called."""
        start = self._supervisor.start
        start("sampling", self._sample, self._sampling)
        start("publishing", self._publish, self._publishing)
        start("network", self._connect, self.uplink)
        start("time", self.timekeeper.run)
        start("maintenance", self._maintain)
        await self._supervisor.run()

    def stop(self, state="offline"):
        """Publish what waits and a status with this state, then disconnect."""
        self._is_stopping = True
        self.uplink.stop(state)

    def reset(self, cause):
        """Reset the board; the next boot reports `cause`."""
        self.outbox.flush()
        boot_loop.write(self.board.data_directory, 0, cause)  # not a crash
        self.board.reboot()

    def sensors(self):
        """The `Sensors` for the zones that the configuration names now."""
        settings = self.settings
        if self._zones is not settings.zones:
            self._zones = settings.zones
            self._sensors = Sensors(
                self.board,
                self._zones,
                settings.thermocouples,
                settings.states,
                settings.calibration,
            )
            self._window.clear()
        return self._sensors

    async def sample_now(self):
        """Sample once more, and publish immediately."""
        async with self.bus:
            await self.sensors().sample(self._window)
        self._publishing.now()

    def is_broker_reached(self):
        """Whether the broker has acknowledged a status over the network of now."""
        return self.uplink.acked["status"] > self.acked_before

    def is_trial_over(self):
        """Whether there is a network on trial, and its outcome is known."""
        if not self.downlink.is_on_trial:
            return False
        age_ms = time.ticks_diff(time.ticks_ms(), self.moved_ticks)
        return self.is_broker_reached() or age_ms > timeouts.TRIAL_MS

    def status(self, state):
        """A status message, as bytes."""
        codes = ["settings:" + name for name in self.settings.unusable]
        if self.uplink.is_closed_again:
            codes.append("mqtt:session_closed")
        if not self.uplink.is_subscribed:
            codes.append("mqtt:not_subscribed")
        return self._report.status(state, self.downlink.members(), codes)

    async def _connect(self):
        await self.uplink.run()
        self._supervisor.stop()

    async def _sample(self):
        try:
            async with self.bus:
                self._report.sensors = await self.sensors().found()
        except Exception as error:  # without the list the device samples as well
            self.log("sensors not listed, sampling goes on: %r" % error)
        while True:
            async with self.bus:
                await self.sensors().sample(self._window)
            await self._sampling.wait()

    async def _publish(self):
        while True:
            await self._publishing.wait()
            if self._is_stopping:  # there would be no end to what is due
                return
            self._publish_window()
            gc.collect()

    def _publish_window(self):
        """Apart from `_publish`, which would keep the message until the next one."""
        window, settings = self._window, self.settings
        if settings.alerts is not None:
            for code in settings.alerts.evaluate(window):
                window.fault(code)
        named = payloads.head(
            settings.device_id, self.timekeeper.now_ms(), self._seq, self._report.boot
        )
        health = self._report.health()
        self.uplink.send(payloads.telemetry(named, window, settings.setpoint, health))
        self._seq += 1
        if set(window.faults) != set(self._report.faults):
            self.uplink.report_soon()
        self._report.faults = window.faults
        window.clear()

    async def _maintain(self):
        """All that has no task of its own: trial, messages, status, boot, portal."""
        while True:
            await asyncio.sleep(_MAINTAIN_S)
            # First, as processing may fail again and again; then no boot is confirmed.
            self._look_for_portal()
            if self._report.is_due(self.settings.report_rate_ms):
                self.uplink.report_soon()
            while self.downlink.is_waiting or self.is_trial_over():
                await self._process()
            if self.downlink.is_due(self._report.uptime_ms() // 1000):
                await self._process()
            self._confirm_boot()

    async def _process(self):
        from egiz_edge import processing  # noqa: PLC0415  # not kept, see unload

        try:
            await processing.process(self)
        finally:
            del processing
            unload("processing")

    def _confirm_boot(self):
        """Count no unconfirmed boots once the device has run well for a minute.

        And for each period: what stalls is noticed STALL_MS after its period.
        """
        if self._is_confirmed or self._supervisor.stalled is not None:
            return
        settings = self.settings
        period_ms = max(settings.sampling_rate_ms, settings.publish_rate_ms)
        if self._report.uptime_ms() > period_ms + timeouts.CONFIRM_MS:
            self._is_confirmed = True
            boot_loop.write(self.board.data_directory, 0)

    def _look_for_portal(self):
        """A held button, or no Wi-Fi for long: what follows is loaded only then."""
        if self.board.wifi.is_up():
            self._up_ticks = time.ticks_ms()
        away_ms = time.ticks_diff(time.ticks_ms(), self._up_ticks)
        if away_ms < _AWAY_MS:
            away_ms = 0
        if away_ms or self._watch or self.board.pins["button"].value():
            from egiz_edge.portal import network  # noqa: PLC0415  # it unloads itself

            self._watch = network.check(self, self._watch, away_ms)
            if self._watch is None:
                self._up_ticks = time.ticks_ms()  # the next look is in a minute

    def _note_stall(self, name):
        boot_loop.note_reset(self.board.data_directory, "watchdog: %s stalled" % name)

    def _reset_without_memory(self, name):
        """After a reset memory has no holes; if that does not help, it is a crash."""
        reason = "crash: no memory for %s" % name
        try:
            self.log(reason)
            self.outbox.flush()
            boot_loop.note_reset(self.board.data_directory, reason)
        finally:  # also if there is no memory for that
            self.board.reboot()
