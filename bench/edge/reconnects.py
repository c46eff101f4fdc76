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
    durations: list[float] = []
    with fresh_broker() as (broker, directory):
        live = LiveSubscriber(broker.host, broker.port)
        between = Proxy(broker.host, broker.port)
        flash = directory / "flash"
        flash.mkdir()
        address = (between.host, between.port)
        device = Device(address, flash, full_hardware())

        def births() -> int:
            found = live.messages(DEVICE, "status")
            return sum(getattr(status, "state", "") == "online" for status in found)

        eventually(births)
        for _ in range(rounds):
            between.refuse()
            time.sleep(generator.uniform(1, 6))
            before = births()
            between.accept()
            started = time.monotonic()
            eventually(lambda before=before: births() > before)  # type: ignore[misc]  # mypy does not see the default
            durations.append(time.monotonic() - started)
            time.sleep(0.5)
        device.stop()
        between.close()
        live.close()
    return Reconnects(
        rounds, share(durations, 50), share(durations, 95), max(durations)
    )
