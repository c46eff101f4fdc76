"""What an uplink needs beside a broker."""

from _board import Store


class Wifi:
    async def connect(self):
        pass


class Settings:
    facility, device_id, host = "factory", "oven-001", "127.0.0.1"
    port = user = password = tls = wifi_ssid = None


class Timekeeper:
    """A clock that was set before the first message."""

    def is_ready(self):
        return True

    def corrected(self, payload):
        return payload


class Names:
    """Each name is its address."""

    store = Store()

    async def address(self, host):
        return host

    def keep(self, host, address):
        pass
