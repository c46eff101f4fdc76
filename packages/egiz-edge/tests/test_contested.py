"""Two boards with one identity, which close each other's sessions at the broker."""

import time

from rig.device import DEVICE, Device, full_hardware
from rig.waiting import eventually

CODE = "mqtt:session_closed"


def test_two_boards_with_one_identity_connect_seldom_and_say_what_is_wrong(
    device, mosquitto, live, tmp_path
):
    first = device(mosquitto)
    eventually(lambda: live.messages(DEVICE, "status"))
    flash = tmp_path / "other"
    flash.mkdir()
    second = Device((mosquitto.host, mosquitto.port), flash, full_hardware())
    try:
        text = f"another device have the id {DEVICE}"
        for board in (first, second):
            eventually(lambda b=board: any(text in line for line in b.output))
        eventually(
            lambda: any(
                CODE in m.health.fault_codes
                for m in live.messages(DEVICE, "status")
                if m.health
            )
        )
        before, since_s = _connections(first, second), time.monotonic()
        eventually(lambda: _connections(first, second) >= before + 5, timeout=120)
        assert time.monotonic() - since_s > 5  # there were five a second
    finally:
        second.kill()
    # With the other one gone, the first keeps its session, and says so.
    eventually(lambda: _ends(live), timeout=120)


def _connections(*boards):
    return sum(board.output.count("connected") for board in boards)


def _ends(live):
    last = live.messages(DEVICE, "status")[-1]
    return last.state == "online" and CODE not in last.health.fault_codes
