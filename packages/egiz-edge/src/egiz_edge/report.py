"""What the device reports about itself: its health, its boot, the status message."""

import gc
import random
import time

from egiz_edge import payloads, unload

FIRMWARE_VERSION = "0.1.0"

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
        cause: why this boot.
        last_ms: time of the last status.
    """

    def __init__(self, device_id, board, reset_reason):
        self.device_id = device_id
        self.board = board
        self.outbox = None
        self._uptime_ms = self.last_ms = 0
        self._ticks = self._status_ticks = time.ticks_ms()
        self.faults = self.sensors = ()
        self.boot = _boot_before(board.store.get("boot")) + 1
        board.store.put("boot", str(self.boot))
        self.cause = board.reset_cause()
        if reset_reason and self.cause != "power_on":
            self.cause = reset_reason

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
        member = payloads.member
        members = [member("uptime_seconds", self.uptime_ms() // 1000)]
        rssi = self.board.wifi.rssi()
        if rssi is not None:
            members.append(member("wifi_rssi", rssi))
        if hasattr(gc, "mem_free"):
            members.append(member("free_memory_bytes", gc.mem_free()))
        members.append(member("buffer_depth", len(self.outbox)))
        members.append(member("dropped", self.outbox.dropped))
        if not self.board.clock.is_synced():
            members.append(member("time_synced", "false"))
        return members

    def status(self, state, outcomes, codes=()):
        """A status message, as bytes; see status.py."""
        self._status_ticks = time.ticks_ms()
        from egiz_edge import status  # noqa: PLC0415  # not kept, see unload

        try:
            return status.message(self, state, outcomes, codes)
        finally:
            unload("status")

    def last_will(self):
        """The status that the broker publishes if the connection breaks."""
        return payloads.status(self.device_id, "offline", self.boot)


def _boot_before(text):
    """The number of the boot before; of an unknown one, where it is damaged.

    A number that was there before would make new messages duplicates of old ones.
    """
    if text is None:
        return 0
    if text.isdigit() and int(text) < _BOOTS_MAX:
        return int(text)
    return _UNKNOWN_BOOT + random.getrandbits(16)
