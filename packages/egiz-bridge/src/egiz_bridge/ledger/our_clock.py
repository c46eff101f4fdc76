"""Whether the clock of this machine is wrong: the devices say so, or it jumps.

One device that is ahead is wrong. If nearly all are, it is our clock: their times would
be put back to a wrong one.
"""

import threading
import time
from statistics import median

import structlog

from egiz_bridge.batch import AHEAD_MAX_MS
from egiz_bridge.ledger.devices import Devices

_DEVICES_MIN = 3  # fewer may have one cause, as one time server
_SHARE = 0.9
_RECENT_MS = 120_000
_LOOKED_AT_EVERY_S = 1.0
_JUMP_SHOWN_S = 900.0  # as long as the alerts look back

_log = structlog.get_logger()


class OurClock:
    """Looks when it is asked; any thread may ask.

    Attributes:
        jumps: times that the clock was set by more than five minutes.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._lock = threading.Lock()
        self._looked_at_s = float("-inf")
        self._offset_ms = _wall_ms() - _steady_ms()
        self._jumped = ("", float("-inf"))
        self._ahead = ""
        self.jumps = 0

    def problems(self) -> list[str]:
        """Why the clock seems to be wrong, if so."""
        with self._lock:
            if time.monotonic() - self._looked_at_s >= _LOOKED_AT_EVERY_S:
                self._looked_at_s = time.monotonic()
                self._look_for_jump()
                self._look_at_devices()
            text, at_s = self._jumped
            is_recent = time.monotonic() - at_s < _JUMP_SHOWN_S
            return [one for one in (self._ahead, text * is_recent) if one]

    @property
    def is_wrong(self) -> bool:
        """Whether the devices say so."""
        self.problems()
        return bool(self._ahead)

    def _look_for_jump(self) -> None:
        offset_ms = _wall_ms() - _steady_ms()
        by_s = (offset_ms - self._offset_ms) / 1000
        if abs(by_s) * 1000 < AHEAD_MAX_MS:
            return
        self._offset_ms = offset_ms
        self.jumps += 1
        text = f"the clock of this machine was set by {by_s:+.0f} s; is NTP running?"
        self._jumped = (text, time.monotonic())
        _log.error(
            "clock of this machine jumped: times of receipt are wrong, before or after;"
            " spool and archive drop nothing for it; check NTP",
            by_s=round(by_s),
        )

    def _look_at_devices(self) -> None:
        now_ms = _wall_ms()
        seen = [known.device for known in self._devices.seen()]
        skews = [
            one.clock_skew_ms
            for one in seen
            if abs(now_ms - one.last_received_ms) <= _RECENT_MS
        ]
        ahead = [-skew for skew in skews if -skew > AHEAD_MAX_MS]
        is_ours = len(skews) >= _DEVICES_MIN and len(ahead) >= _SHARE * len(skews)
        was_ours, self._ahead = bool(self._ahead), ""
        if is_ours:
            count = f"{len(ahead)} of {len(skews)} devices"
            by_s = median(ahead) / 1000
            self._ahead = f"{count} are {by_s:.0f} s ahead: the clock of this machine"
            self._ahead += " is wrong; is NTP running?"
        if is_ours != was_ours:
            _log_change(self._ahead)


def _log_change(text: str) -> None:
    if text:
        event = "clock of this machine is wrong: times of devices are put back by it"
        _log.error(f"{event}; check NTP", why=text)
    else:
        _log.info("clock of this machine agrees with the devices again")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000
