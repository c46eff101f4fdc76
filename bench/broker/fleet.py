"""A factory's devices in one process.

`python -m broker.fleet PORT CA RATE SECONDS PAIR...`: each has a connection with a
certificate of its own. The first line of output is the time of connecting; a line on
stdin starts a round; the figures of each round are a line of JSON.
"""

import json
import selectors
import socket
import ssl
import statistics
import sys
import time
from pathlib import Path

from rig.messages import message

_TICK_S = 0.01
_DRAIN_S = 10.0
_PUBACK_BYTES = 4


class Device:
    """One connection; MQTT 3.1.1, as far as publishing needs it."""

    def __init__(self, port: int, ca: str, pair: Path) -> None:
        self.name = pair.stem
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(pair)
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        name = self.name.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        self.socket.sendall(bytes((0x10, len(body))) + body)
        assert self.socket.recv(4) == b"\x20\x02\x00\x00"
        self.socket.setblocking(False)
        self.sent = self.acknowledged_bytes = 0
        self.sent_at = 0.0
        self._time_ms = 0

    def publish(self, time_ms: int) -> None:
        """Send the next message, QoS 1, retained."""
        self.sent += 1
        # Two in one millisecond, after a pause of this process, would be one point.
        self._time_ms = max(time_ms, self._time_ms + 1)
        topic, payload = message(self.name, self._time_ms, self.sent)
        name, packet_id = topic.encode(), self.sent % 65535 + 1
        body = len(name).to_bytes(2, "big") + name + packet_id.to_bytes(2, "big")
        length = len(body) + len(payload)
        self.sent_at = time.monotonic()
        head = bytes((0x33, length & 127 | 128, length >> 7))
        self.socket.send(head + body + payload)

    def read_acks(self) -> float | None:
        """Read; gives the latency of the last PUBACK in seconds, once it is there."""
        try:
            data = self.socket.recv(4096)
        except ssl.SSLWantReadError:
            return None
        assert data, f"{self.name}: the broker closed the connection"
        self.acknowledged_bytes += len(data)
        return time.monotonic() - self.sent_at if self.is_done else None

    @property
    def is_done(self) -> bool:
        """Whether everything is acknowledged."""
        return self.acknowledged_bytes == _PUBACK_BYTES * self.sent


class Fleet:
    """All of them, on one selector."""

    def __init__(self, devices: list[Device]) -> None:
        self.devices = devices
        self.latencies_s: list[float] = []
        self._selector = selectors.DefaultSelector()
        for device in devices:
            self._selector.register(device.socket, selectors.EVENT_READ, device)

    @property
    def sent(self) -> int:
        """Messages, so far."""
        return sum(device.sent for device in self.devices)

    def run(self, rate: int, seconds: float) -> None:
        """Publish at a steady rate, devices in turn, and wait for the last PUBACK."""
        begun = time.monotonic()
        number = 0
        while (elapsed := time.monotonic() - begun) < seconds:
            now_ms = time.time_ns() // 1_000_000
            while number < elapsed * rate:
                self.devices[number % len(self.devices)].publish(now_ms)
                number += 1
            self._read_acks(_TICK_S)
        until = time.monotonic() + _DRAIN_S
        while not all(d.is_done for d in self.devices) and time.monotonic() < until:
            self._read_acks(_TICK_S)

    def _read_acks(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            latency_s = key.data.read_acks()
            if latency_s is not None:
                self.latencies_s.append(latency_s)


def main() -> None:
    """Connect; then, for each line on stdin, publish and print the figures."""
    port, ca, rate, seconds, *pairs = sys.argv[1:]
    begun = time.monotonic()
    fleet = Fleet([Device(int(port), ca, Path(pair)) for pair in pairs])
    _print_figures(connect_s=time.monotonic() - begun)
    for _ in sys.stdin:
        fleet.latencies_s.clear()
        sent, cpu_s = fleet.sent, time.process_time()
        fleet.run(int(rate), float(seconds))
        sent, cpu_s = fleet.sent - sent, time.process_time() - cpu_s
        cuts = statistics.quantiles(fleet.latencies_s, n=100)
        _print_figures(
            sent=sent,
            unacknowledged=sum(not device.is_done for device in fleet.devices),
            puback_p50_ms=cuts[49] * 1000,
            puback_p99_ms=cuts[98] * 1000,
            fleet_cpu_us=cpu_s / sent * 1e6,
        )


def _print_figures(**figures: float) -> None:
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
