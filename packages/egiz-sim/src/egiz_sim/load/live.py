"""The live subscriber of a load, a process of its own: see `egiz_sim.load.observer`."""

import contextlib
import selectors
import socket
import sys
import time
from typing import Any

import msgspec

from egiz_sim import packets
from egiz_sim.load import link
from egiz_sim.load.observer import Records, fail, read_order

_AGAIN_S = 0.2
_PING_S = packets.KEEPALIVE_S / 2


class _Key(msgspec.Struct):
    boot: int = -1
    seq: int = -1


class Subscriber:
    """Subscribes with a session that stays, so that a broken connection loses nothing.

    Args:
        order: `broker` as `link.to_json` gives it, `client_id`, `facility`, `boot` and
            `devices`, the ids of all devices.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._broker = link.from_json(order["broker"])
        self._devices = {
            f"sensors/{order['facility']}/{name}/telemetry".encode(): number
            for number, name in enumerate(order["devices"])
        }
        self._boot = order["boot"]
        self._decoder = msgspec.json.Decoder(_Key)
        self._records = Records()
        self._is_ready = False

    def run(self) -> None:
        """Look until stdin is closed; then remove the session."""
        while True:
            try:
                with self._connected(is_clean=False) as opened:
                    topic = f"sensors/{self._order['facility']}/+/telemetry"
                    opened.sendall(packets.subscribe(1, topic))
                    if self._serve(opened):
                        break
            except OSError as error:
                if not self._is_ready:
                    fail(f"the live subscriber cannot connect: {error}")
            self._records.disconnected()
            time.sleep(_AGAIN_S)
        with contextlib.suppress(OSError), self._connected(is_clean=True) as opened:
            opened.sendall(packets.DISCONNECT)

    def _connected(self, *, is_clean: bool) -> socket.socket:
        return link.connect(self._broker, self._order["client_id"], is_clean=is_clean)

    def _serve(self, opened: socket.socket) -> bool:
        """Gives whether stdin was closed, rather than the connection."""
        selector = selectors.DefaultSelector()
        selector.register(opened, selectors.EVENT_READ)
        selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        unparsed = b""
        while True:
            ready = [key.fileobj for key, _ in selector.select(_PING_S)]
            if sys.stdin.buffer in ready:
                return True
            if not ready:
                opened.sendall(packets.PINGREQ)
                continue
            data = link.read(opened)
            if not data:
                return False
            unparsed = self._parse(opened, unparsed + data)

    def _parse(self, opened: socket.socket, data: bytes) -> bytes:
        """Note and acknowledge what is whole; gives the rest."""
        position, numbers, acks = 0, [], []
        while (found := packets.body(data, position)) is not None:
            head, (start, end) = data[position], found
            position = end
            if head == packets.SUBACK:
                self._subscribed(data[end - 1])
            if head & 0xF0 != packets.PUBLISH:
                continue
            message = packets.read_publish(head, data[start:end])
            if message.packet_id:
                acks.append(packets.puback(message.packet_id))
            number = self._number(message.topic, message.payload)
            if number is not None:
                numbers.append(number)
        self._records.seen(numbers)
        opened.sendall(b"".join(acks))
        return data[position:]

    def _subscribed(self, answer: int) -> None:
        if answer == packets.REFUSED:
            fail("the broker refuses the live subscriber: its account may not read")
        if not self._is_ready:
            self._is_ready = True
            self._records.ready()

    def _number(self, topic: bytes, payload: bytes) -> int | None:
        """Of the message; None if it is not of this load."""
        device = self._devices.get(topic)
        try:
            key = self._decoder.decode(payload)
        except msgspec.DecodeError:
            return None
        if device is None or key.boot != self._boot:
            return None
        return key.seq * len(self._devices) + device


if __name__ == "__main__":
    Subscriber(read_order()).run()
