"""The Wi-Fi of the ESP32, as a station."""

import asyncio
import time

import network

_JOIN_MS, _POLL_S = 15000, 0.1
_LEAVE_MS, _LEAVE_STEP_MS = 1000, 20
# Where the driver does not say that it has failed: until a board without an access
# point tries again, and how many such tries there are to one that waits longer.
_BRIEF_MS, _BRIEF_TRIES = 5000, 31
_SCAN_EVERY_MS = 300000  # a scan blocks all tasks, for 2 to 3 s
_DNS_PORT = 53

_ON_ITS_WAY = (network.STAT_IDLE, network.STAT_CONNECTING, network.STAT_GOT_IP)
_NOT_JOINED = {
    network.STAT_NO_AP_FOUND: "no network",
    network.STAT_WRONG_PASSWORD: "wrong password",
    # What a WPA2 access point does with a wrong password, mostly.
    network.STAT_HANDSHAKE_TIMEOUT: "handshake failed: a wrong password, a weak signal",
    # With a password, ESP-IDF joins no network that is open, or has WEP or WPA alone.
    network.STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD: "no WPA2 there, but a password",
}


class Wifi:
    """The station interface; the driver's own reconnection is switched off.

    It would go on without end, and every `connect` meanwhile would fail.

    What `status()` gives was read in ports/esp32/network_wlan.c of MicroPython 1.26.1,
    and of commit 3ecb7411, between 1.24 and 1.25, which does the same:

    - GOT_IP with an address, and then no failure is kept;
    - else 201, 202 (also for 205) and 210 to 212, where that was the last failure,
      also while `connect` is at work: a new failure of the same kind is not seen;
    - else IDLE after `disconnect`, also while `connect` is at work;
    - else CONNECTING: `connect` resets the count of tries; with `reconnects=0`, until
      the first failure, and then its number, such as 204.

    Read there, too: `active(True)` returns once the interface is up; `config` takes
    `reconnects` and `pm` of a station, and `pm` only of an active one; `connect` fails
    while another try is under way (issue 17661 with 1.25), which `disconnect` ends;
    `disconnect` fails where the driver is not started, and returns before the network
    is left: until an event of the driver has arrived, `isconnected` is true; `scan`
    gives nothing while the station joins; `status("rssi")` fails without an access
    point, and its argument must be a literal, as it is compared by identity. Where
    ESP-IDF has an error that MicroPython has no words for, it raises RuntimeError
    (`esp_exceptions`). `network.STA_IF` and its like are gone in MicroPython 2; those
    of WLAN are there in both of these versions.
    """

    def __init__(self):
        self._wlan = network.WLAN(network.WLAN.IF_STA)
        self._ssid = None
        self._password = None
        self._tries = 0  # that began with the status of an old failure
        self._brief_tries = _BRIEF_TRIES
        self._scanned = None  # ticks

    def configure(self, ssid, password):
        """What `connect` joins from now on."""
        self._ssid, self._password = ssid, password
        if self._wlan.active():
            self._leave()

    async def connect(self):
        """Join the network; raises OSError where that fails."""
        if self.is_up():
            return
        if self._ssid is None:
            raise OSError("Wi-Fi: not configured")
        try:
            self._begin(self._ssid)
        except RuntimeError as error:
            raise OSError("Wi-Fi: %s" % error)
        # The driver may keep the last failure until it has an address.
        old = self._wlan.status()
        limit_ms = self._limit_ms(old)
        begun = time.ticks_ms()
        while not self.is_up():
            status = self._wlan.status()
            if status != old:
                old, limit_ms = 0, _JOIN_MS  # 0 is no status
            is_late = time.ticks_diff(time.ticks_ms(), begun) > limit_ms
            if is_late and limit_ms < _JOIN_MS and self._is_associated():
                limit_ms, is_late = _JOIN_MS, False  # its address is on the way
            if is_late or (status != old and status not in _ON_ITS_WAY):
                self._leave()
                reason = "no answer in time" if is_late else "status %d" % status
                raise OSError("Wi-Fi: " + _NOT_JOINED.get(status, reason))
            await asyncio.sleep(_POLL_S)

    def _leave(self):
        """Until it is left, the old network would be taken for the one to join."""
        try:
            self._wlan.disconnect()
        except (OSError, RuntimeError):
            return  # the driver has nothing to leave
        left_ms = _LEAVE_MS
        while self.is_up() and left_ms > 0:
            time.sleep_ms(_LEAVE_STEP_MS)
            left_ms -= _LEAVE_STEP_MS

    def _begin(self, ssid):
        self._wlan.active(True)
        # Sleeping between beacons would cost 100 to 300 ms a message.
        self._wlan.config(reconnects=0, pm=network.WLAN.PM_NONE)
        bssid = self._strongest(ssid.encode())
        if bssid is None:
            self._wlan.connect(ssid, self._password)
        else:
            self._wlan.connect(ssid, self._password, bssid=bssid)

    def _strongest(self, ssid):
        """The BSSID of the access point to join; None leaves it to the driver.

        The driver joins the first that it finds, on the lowest channel. The next try
        is without: a strong one may refuse what another accepts.
        """
        now = time.ticks_ms()
        since = self._scanned
        # Below 0 once the difference of the ticks has wrapped, after 6 days.
        if since is not None and 0 <= time.ticks_diff(now, since) < _SCAN_EVERY_MS:
            return None
        self._scanned = now
        try:
            found = [(one[3], one[1]) for one in self._wlan.scan() if one[0] == ssid]
        except Exception:  # whatever a scan lacks, such as memory: join without it
            return None
        return max(found)[1] if len(found) > 1 else None

    def _limit_ms(self, status):
        """How long a try may take that begins with a status.

        With that of an old failure its end is not seen, so most of those are brief: a
        network that is back is joined within 10 s, and one that is slow as well.
        """
        if status in _ON_ITS_WAY:
            self._tries = 0
            return _JOIN_MS
        self._tries += 1
        return _JOIN_MS if self._tries % (self._brief_tries + 1) == 0 else _BRIEF_MS

    def _is_associated(self):
        """Whether there is an access point, also without an address."""
        try:
            self._wlan.status("rssi")
        except OSError:
            return False
        except Exception:  # a driver that does not say it: each second try is long
            self._brief_tries = 1
            return False
        return True

    def is_up(self):
        """Whether the board is in a network and has an address."""
        return self._wlan.isconnected()

    def rssi(self):
        """dBm, or None."""
        try:
            return self._wlan.status("rssi") if self.is_up() else None
        except (OSError, RuntimeError):
            return None  # the network was lost between the two calls

    def ip(self):
        """The board's address, or None."""
        return self._wlan.ifconfig()[0] if self.is_up() else None

    def name_servers(self):
        """The one that DHCP gave; `getaddrinfo` would block all tasks for seconds."""
        server = self._wlan.ifconfig()[3]
        return [] if server == "0.0.0.0" else [(server, _DNS_PORT)]  # noqa: S104  # none
