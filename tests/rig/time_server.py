"""An NTP server for a device in virtual time, which can be silent, refuse, or lie."""

import socket
import threading
from pathlib import Path

_SECONDS_1970 = 2208988800  # since 1900
_BYTES = 48


class TimeServer:
    """Serves the time that a file says, in milliseconds since 1970.

    Attributes:
        address: host:port.
        mode: `right`, `silent`, `refuses` ("kiss of death") or `lies` (by a day).
        asked: how many requests have come.
    """

    def __init__(self, now: Path) -> None:
        self._now = now
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.mode = "right"
        self.asked = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            request, client = self._socket.recvfrom(512)
            if not request:
                return
            self.asked += 1
            if self.mode != "silent":
                self._socket.sendto(self._reply(request), client)

    def _reply(self, request: bytes) -> bytes:
        now_ms = int(self._now.read_text()) + (86400000 if self.mode == "lies" else 0)
        seconds, ms = divmod(now_ms, 1000)
        stamp = (seconds + _SECONDS_1970).to_bytes(4, "big")
        stamp += ((ms << 32) // 1000).to_bytes(4, "big")
        is_refusal = self.mode == "refuses"
        head = bytes([0xE4 if is_refusal else 0x24, 0 if is_refusal else 2])
        reference = b"RATE" if is_refusal else b"LOCL"
        return head + bytes(10) + reference + bytes(8) + request[40:48] + stamp + stamp
