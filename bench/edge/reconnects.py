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
_OUTAGES_EACH = 2


class Reconnects(NamedTuple):
    """Seconds."""

    rounds: int
    p50_s: float
    p95_s: float
    most_s: float


def measure(rounds: int) -> Reconnects:
    """Outages of 1 to 6 s: connections are reset, and new ones refused.

    A device has two of them and is then replaced. After the third session in a row that
    ends within 30 s it would wait longer, as for a second device with its id.
    """
    generator = random.Random(_SEED)
    outages = [generator.uniform(1, 6) for _ in range(rounds)]
    durations: list[float] = []
    for number in range(0, rounds, _OUTAGES_EACH):
        durations += _of_one_device(outages[number : number + _OUTAGES_EACH])
    return Reconnects(
        rounds, share(durations, 50), share(durations, 95), max(durations)
    )


def _of_one_device(outages: list[float]) -> list[float]:
    with fresh_broker() as (broker, directory):
        live = LiveSubscriber(broker.host, broker.port)
        between = Proxy(broker.host, broker.port)
        flash = directory / "flash"
        flash.mkdir()
        device = Device((between.host, between.port), flash, full_hardware())
        eventually(lambda: _births(live))
        durations = [_reconnect_s(live, between, outage_s) for outage_s in outages]
        device.stop()
        between.close()
        live.close()
    return durations


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
