"""How soon after the broker is back: until a subscriber has the birth message."""

import random
import time
from typing import NamedTuple

from rig.device import DEVICE, Device, full_hardware
from rig.live import LiveSubscriber
from rig.proxy import Proxy
from rig.waiting import eventually

from edge.shared import fresh_broker, share

_SEED = 5


class Reconnects(NamedTuple):
    """Seconds."""

    rounds: int
    p50_s: float
    p95_s: float
    most_s: float


def measure(rounds: int) -> Reconnects:
    """Outages of 1 to 6 s: connections are reset, and new ones refused."""
    generator = random.Random(_SEED)
    with fresh_broker() as (broker, directory):
        live = LiveSubscriber(broker.host, broker.port)
        between = Proxy(broker.host, broker.port)
        flash = directory / "flash"
        flash.mkdir()
        device = Device((between.host, between.port), flash, full_hardware())
        eventually(lambda: _births(live))
        durations = [
            _reconnect_s(live, between, generator.uniform(1, 6)) for _ in range(rounds)
        ]
        device.stop()
        between.close()
        live.close()
    return Reconnects(
        rounds, share(durations, 50), share(durations, 95), max(durations)
    )


def _reconnect_s(live: LiveSubscriber, between: Proxy, outage_s: float) -> float:
    between.refuse()
    time.sleep(outage_s)
    before = _births(live)
    between.accept()
    started = time.monotonic()
    eventually(lambda: _births(live) > before)
    duration = time.monotonic() - started
    time.sleep(0.5)
    return duration


def _births(live: LiveSubscriber) -> int:
    found = live.messages(DEVICE, "status")
    return sum(getattr(status, "state", "") == "online" for status in found)
