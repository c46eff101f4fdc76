"""The access point of the ESP32, and its search for networks.

Apart from the station: only the portal needs them, and memory is short.
"""

import network

ADDRESS = "192.168.4.1"
PORTS = (80, 53)

_CHANNELS = (1, 6, 11)  # that do not overlap
_CLIENTS_MAX = 2


class AccessPoint:
    """The board's own network, beside the one that `wifi` joins."""

    def __init__(self):
        self._wlan = network.WLAN(network.AP_IF)
        self.address = ADDRESS
        self.ports = PORTS

    def scan(self):
        """The networks that are near; blocks all tasks for 2 to 3 s."""
        station = network.WLAN(network.STA_IF)
        station.active(True)
        try:
            return [(one[0], one[3], one[4] == 0) for one in station.scan()]
        except OSError:
            return []  # it is joining; whoever asks may ask again

    def start(self, ssid, key):
        """Open the network, with WPA2 and this key."""
        # A hall with many boards: each on one of three channels, by its address.
        channel = _CHANNELS[self._wlan.config("mac")[5] % len(_CHANNELS)]
        self._wlan.config(
            ssid=ssid,
            key=key,
            security=network.AUTH_WPA2_PSK,
            channel=channel,
            max_clients=_CLIENTS_MAX,
        )
        self._wlan.active(True)  # not before: it would be open until then

    def stop(self):
        """Close it."""
        self._wlan.active(False)

    def clients(self):
        """How many are in it."""
        return len(self._wlan.status("stations")) if self._wlan.active() else 0
