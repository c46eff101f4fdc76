"""The access point of the virtual board: files `ap`, `ap_clients`, `portal_ports`."""

import json
import os

from egiz_edge.ports.virtual_wifi import read

ADDRESS = "192.168.4.1"


class AccessPoint:
    """The host's loopback interface, for whoever knows the key in the file `ap`."""

    def __init__(self, directory):
        self._directory = directory
        self.address = ADDRESS
        ports = read(directory + "/portal_ports").split()
        self.ports = (int(ports[0]), int(ports[1]))

    def scan(self):
        """The networks that are near."""
        near = json.loads(read(self._directory + "/networks") or "null") or {}
        return [
            (name.encode(), one["rssi"], one["key"] is None)
            for name, one in near.items()
            if not one["is_hidden"]
        ]

    def start(self, ssid, key):
        """Open the network, with WPA2 and this key."""
        with open(self._directory + "/ap.new", "w") as file:
            file.write(json.dumps([ssid, key]))
        os.rename(self._directory + "/ap.new", self._directory + "/ap")

    def stop(self):
        """Close it."""
        try:
            os.remove(self._directory + "/ap")
        except OSError:
            pass

    def clients(self):
        """How many are in it."""
        return int(read(self._directory + "/ap_clients") or 0)
