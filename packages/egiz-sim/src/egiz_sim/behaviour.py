"""How a device is beside its machine, and what it counts."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from egiz_sim.updates import Outcome, Timing


@dataclass(slots=True)
class Counts:
    """Messages of one device, by kind: telemetry and status.

    `resent`, `replayed` and `forgotten` are readings: sent again after an outage,
    acknowledged as history, and erased by a factory reset.
    """

    published: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    replayed: int = 0
    forgotten: int = 0


class Behaviour(NamedTuple):
    """How a device is beside its machine.

    Attributes:
        publish_ms: between two readings, until a config says otherwise.
        outcome: how its updates end.
        timing: how long they, and restarts, take.
    """

    publish_ms: float
    outcome: Outcome = "good"
    timing: Timing = Timing()
