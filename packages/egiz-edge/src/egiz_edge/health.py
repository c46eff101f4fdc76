"""Health of the device: the members that telemetry and status share, and its boot."""

import gc
import time


class Health:
    """The health of a board.

    Args:
        board: a port's `Board`.
        outbox: telemetry that waits.
    """

    def __init__(self, board, outbox):
        self._board = board
        self._outbox = outbox
        self._uptime_ms = 0
        self._ticks = time.ticks_ms()

    def members(self):
        """JSON members of the health group, as strings."""
        members = ['"uptime_seconds":%d' % (self.uptime_ms() // 1000)]
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

    def uptime_ms(self):
        """Since boot; must be called more often than the ticks wrap (days)."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms


class Boot:
    """This boot: its number and its cause.

    Args:
        board: a port's `Board`.
        reset_reason: what boot_loop.py has kept of the boot before.
    """

    def __init__(self, board, reset_reason):
        self.number = int(board.store.get("boot") or 0) + 1
        board.store.put("boot", str(self.number))
        self.cause = board.reset_cause()
        if reset_reason and self.cause != "power_on":
            self.cause = reset_reason
