"""What the device reports about itself: its health, its boot, the status message."""

import gc
import random
import time

from egiz_schema.limits import WIRE_VERSION

from egiz_edge import payloads

FIRMWARE_VERSION = "0.1.0"
# What the device can do besides measuring: the actions of actions.py.
_CAN = '["reboot","identify","sample_now","reset_energy","factory_reset"]'

_BOOTS_MAX = 4294967295  # the contract knows no later one
_UNKNOWN_BOOT = 1048576


class Report:
    """Health, which telemetry and status share, and the status message.

    Args:
        device_id: of this device.
        board: a port's `Board`.
        reset_reason: what boot_loop.py has kept of the boot before.

    Attributes:
        boot: number of this boot.
        outbox: telemetry that waits; set before the first message.
        faults: fault codes of the last telemetry message.
        sensors: what answered on the buses at the start.
    """

    def __init__(self, device_id, board, reset_reason):
        self._device_id = device_id
        self._board = board
        self.outbox = None
        self._uptime_ms = self._last_ms = 0
        self._ticks = self._status_ticks = time.ticks_ms()
        self.faults = self.sensors = ()
        self.boot = _boot_before(board.store.get("boot")) + 1
        board.store.put("boot", str(self.boot))
        self._cause = board.reset_cause()
        if reset_reason and self._cause != "power_on":
            self._cause = reset_reason

    def uptime_ms(self):
        """Since boot; must be called more often than the ticks wrap (days)."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms

    def is_due(self, period_ms):
        """Whether it is time for a status; when offline, this is true once a period."""
        now = time.ticks_ms()
        is_due = time.ticks_diff(now, self._status_ticks) >= period_ms
        if is_due:
            self._status_ticks = now
        return is_due

    def health(self):
        """JSON members of the health group, as strings."""
        members = ['"uptime_seconds":%d' % (self.uptime_ms() // 1000)]
        rssi = self._board.wifi.rssi()
        if rssi is not None:
            members.append('"wifi_rssi":%d' % rssi)
        if hasattr(gc, "mem_free"):
            members.append('"free_memory_bytes":%d' % gc.mem_free())
        members.append('"buffer_depth":%d' % len(self.outbox))
        members.append('"dropped":%d' % self.outbox.dropped)
        if not self._board.clock.is_synced():
            members.append('"time_synced":false')
        return members

    def status(self, state, outcomes, codes=()):
        """A status message, as bytes.

        Args:
            state: `online` or `offline`.
            outcomes: JSON members on the last config and the last command.
            codes: fault codes beside those of the last telemetry message.
        """
        self._status_ticks = time.ticks_ms()
        health = self.health()
        codes = list(codes) + list(self.faults)
        if codes:
            health.append(payloads.names("fault_codes", codes))
        members = [
            '"schema":"%d"' % WIRE_VERSION,
            '"firmware_version":' + payloads.text(FIRMWARE_VERSION),
            '"health":{' + ",".join(health) + "}",
        ]
        if self._board.clock.is_synced():
            members.append('"timestamp":%d,"ms":%d' % divmod(self._stamp_ms(), 1000))
        members.append('"reset_cause":' + payloads.text(self._cause))
        members.append('"board":' + payloads.text(self._board.chip_id()))
        members.append('"can":' + _CAN)
        ip = self._board.wifi.ip()
        if ip is not None:
            members.append('"ip":' + payloads.text(ip))
        if self.sensors:
            members.append(payloads.names("sensors", self.sensors))
        members.extend(outcomes)
        return payloads.status(self._device_id, state, self.boot, members)

    def _stamp_ms(self):
        """Now, or a little later: two of one instant are one point in a database."""
        now_ms = self._board.clock.now_ms()
        if 0 <= self._last_ms - now_ms < 1000:  # else the clock was set back
            now_ms = self._last_ms + 1
        self._last_ms = now_ms
        return now_ms

    def last_will(self):
        """The status that the broker publishes if the connection breaks."""
        return payloads.status(self._device_id, "offline", self.boot)


def _boot_before(text):
    """The number of the boot before; of an unknown one, where it is damaged.

    A number that was there before would make new messages duplicates of old ones.
    """
    if text is None:
        return 0
    if text.isdigit() and int(text) < _BOOTS_MAX:
        return int(text)
    return _UNKNOWN_BOOT + random.getrandbits(16)
