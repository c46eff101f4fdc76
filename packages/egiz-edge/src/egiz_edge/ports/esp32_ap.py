"""The access point of the ESP32, and its search for networks.

Apart from the station: only the portal needs them, and memory is short.

What each call does was read in ports/esp32/network_wlan.c of MicroPython 1.26.1 and of
commit 3ecb7411, between 1.24 and 1.25, in its issues and in the manual of ESP-IDF:

- an error of ESP-IDF is an OSError, or a RuntimeError with its number where MicroPython
  has no words for it (`esp_exceptions`; issue 7504 has one);
- `config` of an access point that is not active works where the driver is not started
  (quick reference for the ESP32); ESP-IDF says of `esp_wifi_set_config` that it is for
  interfaces that are enabled, so beside an active station it may fail;
- without `security` the network is open, whatever its key is (issue 8407);
- `config(channel=)` of 1.24 fails where the driver is not started, or the station is at
  work (manual, `esp_wifi_set_channel`), and loses it (issue 16165); that of 1.26.1 is
  a part of the configuration; with a station that is joined its channel is that one's;
- `active(True)` returns once the network is there, `active()` gives its mode;
- `status("stations")` fails where there is no access point; it compares its argument by
  identity, so that must be a literal;
- `scan` needs an active station, and gives no network while that one joins another.
"""

import network

ADDRESS = "192.168.4.1"
PORTS = (80, 53)

_CHANNELS = (1, 6, 11)  # that do not overlap
_CLIENTS_MAX = 2
_ERRORS = (OSError, RuntimeError)


class AccessPoint:
    """The board's own network, beside the one that `wifi` joins."""

    def __init__(self):
        self._wlan = network.WLAN(network.WLAN.IF_AP)
        self.address = ADDRESS
        self.ports = PORTS

    def scan(self):
        """The networks that are near; blocks all tasks for 2 to 3 s."""
        station = network.WLAN(network.WLAN.IF_STA)
        try:
            station.active(True)
            return [(one[0], one[3], one[4] == 0) for one in station.scan()]
        except _ERRORS:
            return []  # it is joining; whoever asks may ask again

    def start(self, ssid, key):
        """Open the network, with WPA2 and this key; raises OSError.

        What cannot be protected is closed.
        """
        try:
            self._protect(ssid, key)
        except _ERRORS:
            pass  # it can be configured once it is active: open for milliseconds
        try:
            self._wlan.active(True)
            if not self._is_protected(ssid):
                self._protect(ssid, key)
            if not self._is_protected(ssid):
                raise OSError("it would be open")
        except _ERRORS as error:
            self._wlan.active(False)
            raise OSError("access point: %s" % error)
        self._choose_channel()

    def _protect(self, ssid, key):
        self._wlan.config(
            ssid=ssid,
            key=key,
            security=network.WLAN.SEC_WPA2,
            max_clients=_CLIENTS_MAX,
        )

    def _is_protected(self, ssid):
        wlan = self._wlan
        is_wpa2 = wlan.config("security") == network.WLAN.SEC_WPA2
        return is_wpa2 and wlan.config("ssid") == ssid

    def _choose_channel(self):
        """A hall with many boards: each on one of three channels, by its address."""
        number = self._wlan.config("mac")[5] % len(_CHANNELS)
        try:
            self._wlan.config(channel=_CHANNELS[number])
        except _ERRORS:
            pass  # that of the station, or the first

    def stop(self):
        """Close it."""
        self._wlan.active(False)

    def clients(self):
        """How many are in it."""
        try:
            found = self._wlan.status("stations")
            return len(found)  # type: ignore[arg-type]  # the stubs know a station's
        except _ERRORS:
            return 0  # it is closed
