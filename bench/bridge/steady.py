"""What real rates cost: CPU of all peers at once, under one load on one broker.

Side by side, so that a busy machine is equally busy to all of them; each peer has a
database of its own. A window is long enough for many batches, and the median of several
windows counts.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rig.servers import VictoriaMetrics

from bridge.drain import finished
from bridge.latency import Gauge, percentiles
from bridge.peers import ENDLESS, Peer, Running
from bridge.shared import Rig, cpu_s, fresh_rig

_WARM_UP_S = 3.0
_WINDOW_S = 5.0


class Steady(NamedTuple):
    """CPU seconds a second (a core is 1); seconds from publishing to stored."""

    cpu_share: float
    p99_s: float


def measure(chosen: Sequence[Peer], rate: int, windows: int) -> dict[str, Steady]:
    """Of each peer, at so many messages a second."""
    with fresh_rig() as rig, _side_by_side(chosen, rig) as sides:
        load = rig.load(rate, _WARM_UP_S + (windows + 1) * _WINDOW_S)
        time.sleep(_WARM_UP_S)
        for side in sides.values():
            side.gauge.ages_s.clear()
        shares: dict[str, list[float]] = {peer.name: [] for peer in chosen}
        for _ in range(windows):
            for name, share in _shares(sides).items():
                shares[name].append(share)
        load.terminate()
        load.wait()
    return {
        name: Steady(statistics.median(shares[name]), percentiles(side.gauge)[1])
        for name, side in sides.items()
    }


class _Side(NamedTuple):
    running: Running
    gauge: Gauge


@contextlib.contextmanager
def _side_by_side(chosen: Sequence[Peer], rig: Rig) -> Iterator[dict[str, _Side]]:
    with contextlib.ExitStack() as stack:
        sides = {}
        for number, peer in enumerate(chosen):
            database = VictoriaMetrics(rig.directory / f"victoriametrics-{number}")
            database.start()
            stack.callback(database.kill)
            gauge = Gauge(database.url)
            stack.callback(gauge.serve().shutdown)
            finished(peer.start(rig, 0))  # the session
            running = peer.start(rig._replace(database_url=gauge.url), ENDLESS)
            stack.callback(running.process.wait)
            stack.callback(running.process.kill)
            sides[peer.name] = _Side(running, gauge)
        yield sides


def _shares(sides: dict[str, _Side]) -> dict[str, float]:
    before = {name: cpu_s(side.running.process.pid) for name, side in sides.items()}
    begun = time.monotonic()
    time.sleep(_WINDOW_S)
    took_s = time.monotonic() - begun
    return {
        name: (cpu_s(side.running.process.pid) - before[name]) / took_s
        for name, side in sides.items()
    }
