"""Commands that wait have a bounded memory."""

import asyncio

from _board import Clock, Log, Store
from egiz_edge import processing
from egiz_edge.downlink import Downlink


class Settings:
    device_id, alerts = "oven-001", None


class Board:
    store, clock = Store(), Clock()


class Device:
    board, settings, log = Board(), Settings(), Log()
    downlink = Downlink(log)


def test_commands_that_wait_have_a_bounded_memory():
    downlink = Device.downlink
    for number in range(20):
        downlink.put_command(b'{"id":"c%d","x":"' % number + b"y" * 1300, False)
    handled = 0
    while downlink.is_waiting:
        asyncio.run(processing.handle_next(Device))
        handled += 1
    assert handled == 7  # three, and four that are refused; then only the log
