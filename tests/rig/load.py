"""A steady load: `python -m rig.load PORT RATE SECONDS`, one connection, QoS 1.

Each message carries the time at which it was due, so that no two of a device are the
same point, even if this process was held up. Beside the 1,000 devices there is a probe,
which sends 20 times a second, with the time: how long after it the message is found is
the latency.
Prints how many were sent; all of them were acknowledged by the broker.
"""

import selectors
import socket
import sys
import time

from rig.messages import DEVICES, message

PROBE = "probe-1"
_PROBE_EVERY_S = 0.05
# Below this many a second, each message is sent by itself, as devices do.
_ONE_BY_ONE_MAX = 1000
_TICK_S = 0.01


class Connection:
    """MQTT 3.1.1, as far as publishing needs it; counts the PUBACKs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04load")
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self.sent = self._acknowledged_bytes = 0

    def publish(self, messages: list[tuple[str, bytes]]) -> None:
        """Send them in one write."""
        self._socket.sendall(b"".join([self._packet(*one) for one in messages]))
        self.read_acks(0)

    def read_acks(self, timeout_s: float) -> bool:
        """Read what has come; gives whether everything is acknowledged."""
        while self._selector.select(timeout_s):
            self._acknowledged_bytes += len(self._socket.recv(65536))
            timeout_s = 0
        return self._acknowledged_bytes == 4 * self.sent

    def close(self) -> None:
        """Close the connection without a DISCONNECT."""
        self._selector.close()
        self._socket.close()

    def _packet(self, topic: str, payload: bytes) -> bytes:
        self.sent += 1
        packet_id = self.sent % 65535 + 1
        name = topic.encode()
        body = len(name).to_bytes(2, "big") + name + packet_id.to_bytes(2, "big")
        length = len(body) + len(payload)
        return b"\x32" + bytes((length & 127 | 128, length >> 7)) + body + payload


def main(port: int, rate: int, seconds: float) -> None:
    """Publish, wait for the last PUBACK, print how many."""
    connection = Connection(port)
    begun = probe_due = time.monotonic()
    begun_ms = time.time_ns() // 1_000_000
    number = 0
    tick_s = 1 / rate if rate <= _ONE_BY_ONE_MAX else _TICK_S
    while (elapsed := time.monotonic() - begun) < seconds:
        due = []
        while number < elapsed * rate:
            seq, unit = divmod(number, DEVICES)
            due_ms = begun_ms + number * 1000 // rate
            due.append(message(f"oven-{unit}", due_ms, seq))
            number += 1
        if begun + elapsed >= probe_due:
            due.append(message(PROBE, time.time_ns() // 1_000_000, number))
            probe_due += _PROBE_EVERY_S
        connection.publish(due)
        time.sleep(tick_s)
    until = time.monotonic() + 10
    while not connection.read_acks(1) and time.monotonic() < until:
        pass
    sys.stdout.write(f"{connection.sent}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
