"""Machines that measure what has no field of its own: weight, pieces."""

import random
from typing import ClassVar

from egiz_schema import Channel

from egiz_sim.machine import Machine, Reading
from egiz_sim.power import Motor, load
from egiz_sim.sensors import Sensor

_HALF = 0.5


class Silo(Machine):
    """Flour on load cells: drained by the bakery, filled by a lorry; no meter."""

    device_type = "silo"
    has_meters = False
    channels: ClassVar[dict[str, Channel]] = {
        "weight": Channel(quantity="weight"),
        "level": Channel(quantity="level"),
        "filling": Channel(quantity="running"),
        "delivered": Channel(quantity="weight"),
    }
    capacity_kg = 10_000.0
    filled_kg_s = 60.0
    drained_kg_s = 25.0
    limits = (0.15, 0.95)  # of the capacity: a lorry comes, and leaves

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._cells = Sensor(rng, 2.0, 0.5)  # noise: vibration
        self._weight_kg = rng.uniform(0.2, 0.9) * self.capacity_kg
        self._delivered_kg = float(rng.randrange(100_000))
        self._is_filling = rng.random() < _HALF

    @property
    def sensors(self) -> list[str]:
        """Its load cells."""
        return ["weight"]

    def advance(self, seconds: float) -> None:
        """Fill until the upper limit, then drain until the lower one."""
        low, high = (limit * self.capacity_kg for limit in self.limits)
        if self._is_filling:
            added = min(self.filled_kg_s * seconds, max(0.0, high - self._weight_kg))
            self._weight_kg += added
            self._delivered_kg += added
        elif self.is_on_shift:
            drained = self.drained_kg_s * seconds * self.rng.uniform(0.8, 1.2)
            self._weight_kg = max(0.0, self._weight_kg - drained)
        if self._weight_kg >= high or self._weight_kg <= low:
            self._is_filling = self._weight_kg <= low
        working = "running" if self.is_on_shift else "stopped"
        self.state = "filling" if self._is_filling else working

    def read(self, seconds: float) -> Reading:
        """Load cells, and what the lorries' papers say."""
        return Reading(
            values={
                "weight": round(self._cells.read(self._weight_kg, seconds), 1),
                "level": round(100 * self._weight_kg / self.capacity_kg, 1),
            },
            counters={"delivered": int(self._delivered_kg)},
            contacts={"filling": self._is_filling},
        )


class PackingLine(Machine):
    """Counts what it packs and what it rejects, and stops now and then for film."""

    device_type = "packing-line"
    channels: ClassVar[dict[str, Channel]] = {
        # Not among the quantities that are known: it is shown with its unit.
        "throughput": Channel(quantity="throughput", unit="{piece}/min"),
        "pieces": Channel(quantity="pieces"),
        "rejects": Channel(quantity="rejects"),
    }
    pieces_per_s = 2.0
    reject_share = 0.02
    stops_per_s = 1 / 90
    stopped_s = 12.0

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._motor = Motor(2.8, 0.8)
        self._stopped_s = 0.0
        self._due = rng.random()  # pieces, as far as the next one has come
        self._packed = 0  # since it was read before
        self._pieces = rng.randrange(1_000_000)
        self._rejects = self._pieces // 50

    def advance(self, seconds: float) -> None:
        """Pack at a steady pace; some pieces are rejected."""
        self._stopped_s = max(0.0, self._stopped_s - seconds)
        if not self._stopped_s and self.rng.random() < self.stops_per_s * seconds:
            self._stopped_s = self.stopped_s
        is_stopped = self._stopped_s > 0 or not self.is_on_shift
        self.state = "stopped" if is_stopped else "running"
        if is_stopped:
            self._motor.stop()
            self.meters.use(seconds, load(0.4, 0.5))
            return
        self._pack(seconds)
        share = 0.85 + self.rng.gauss(0, 0.05)
        self.meters.use(seconds, self._motor.turn(seconds, share))

    def read(self, seconds: float) -> Reading:
        """Meters, and the counters of the line."""
        packed, self._packed = self._packed, 0
        return Reading(
            self.meters.read(),
            values={"throughput": round(60 * packed / seconds, 1)},
            counters={"pieces": self._pieces, "rejects": self._rejects},
        )

    def _pack(self, seconds: float) -> None:
        self._due += self.pieces_per_s * self.rng.uniform(0.9, 1.1) * seconds
        packed = int(self._due)
        self._due -= packed
        self._packed += packed
        self._pieces += packed
        self._rejects += sum(
            self.rng.random() < self.reject_share for _ in range(packed)
        )
