"""Machines that measure what has no field of its own: humidity, weight, pieces."""

import math
import random
from typing import ClassVar

from egiz_schema import Channel, Thermal

from egiz_sim.machine import AMBIENT_C, Machine, Reading

_HALF = 0.5


class ColdRoom(Machine):
    """4 °C and a door; an open one lets warm and moist air in."""

    device_type = "cold-room"
    channels: ClassVar[dict[str, Channel]] = {
        "humidity": Channel(quantity="humidity"),
        "door": Channel(quantity="door"),
        "door_openings": Channel(quantity="cycles", unit="{opening}"),
    }
    setpoint_c = 4.0
    band_c = 0.8
    openings_per_s = 1 / 60
    open_s = (5.0, 25.0)

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._inside_c = rng.uniform(3.5, 4.5)
        self._humidity = rng.uniform(78, 84)
        self._is_cooling = rng.random() < _HALF
        self._open_s = 0.0
        self._openings = rng.randrange(1000)

    def step(self, seconds: float) -> Reading:
        """Cool above the band and dry the air; with an open door, drift to the room."""
        self._move_door(seconds)
        if abs(self._inside_c - self.setpoint_c) > self.band_c:
            self._is_cooling = self._inside_c > self.setpoint_c
        self._mix_air(seconds)
        amperes, factor = (3.8, 0.82) if self._is_cooling else (0.3, 0.55)
        return Reading(
            self.electrical(seconds, amperes, factor),
            Thermal(
                temperature_zones=[round(self._inside_c, 2)], setpoint=self.setpoint_c
            ),
            {"humidity": round(self._humidity, 1)},
            {"door_openings": self._openings},
            {"door": self._open_s > 0},
        )

    def _move_door(self, seconds: float) -> None:
        was_open = self._open_s > 0
        self._open_s = max(0.0, self._open_s - seconds)
        if not was_open and self.rng.random() < self.openings_per_s * seconds:
            self._open_s = self.rng.uniform(*self.open_s)
            self._openings += 1

    def _mix_air(self, seconds: float) -> None:
        # Outside air is cooled, so that the water in it is near the dew point.
        target_c, target_h, constant_s = AMBIENT_C, 97.0, 90.0
        if not self._open_s:
            target_c = -6.0 if self._is_cooling else AMBIENT_C
            target_h = 72.0 if self._is_cooling else 84.0
            constant_s = 240.0 if self._is_cooling else 900.0
        share = 1 - math.exp(-seconds / constant_s)
        self._inside_c += (target_c - self._inside_c) * share + self.rng.gauss(0, 0.01)
        self._humidity += (target_h - self._humidity) * share + self.rng.gauss(0, 0.05)
        self._humidity = min(100.0, self._humidity)


class Silo(Machine):
    """Flour on load cells: drained by the bakery, filled by a lorry; no meter."""

    device_type = "silo"
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
        self._weight_kg = rng.uniform(0.2, 0.9) * self.capacity_kg
        self._delivered_kg = float(rng.randrange(100_000))
        self._is_filling = rng.random() < _HALF

    def step(self, seconds: float) -> Reading:
        """Fill until the upper limit, then drain until the lower one."""
        low, high = (limit * self.capacity_kg for limit in self.limits)
        if self._is_filling:
            added = min(self.filled_kg_s * seconds, max(0.0, high - self._weight_kg))
            self._weight_kg += added
            self._delivered_kg += added
        else:
            drained = self.drained_kg_s * seconds * self.rng.uniform(0.8, 1.2)
            self._weight_kg = max(0.0, self._weight_kg - drained)
        if self._weight_kg >= high or self._weight_kg <= low:
            self._is_filling = self._weight_kg <= low
        self.state = "filling" if self._is_filling else "running"
        shown = self._weight_kg + self.rng.gauss(0, 2)  # vibration on the load cells
        return Reading(
            values={
                "weight": round(shown, 1),
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
        self._stopped_s = 0.0
        self._due = rng.random()  # pieces, as far as the next one has come
        self._pieces = rng.randrange(1_000_000)
        self._rejects = self._pieces // 50

    def step(self, seconds: float) -> Reading:
        """Pack at a steady pace; some pieces are rejected."""
        self._stopped_s = max(0.0, self._stopped_s - seconds)
        if not self._stopped_s and self.rng.random() < self.stops_per_s * seconds:
            self._stopped_s = self.stopped_s
        self.state = "stopped" if self._stopped_s else "running"
        packed = 0 if self._stopped_s else self._pack(seconds)
        amperes, factor = (0.4, 0.5) if self._stopped_s else (2.6, 0.8)
        return Reading(
            self.electrical(seconds, amperes, factor),
            values={"throughput": round(60 * packed / seconds, 1)},
            counters={"pieces": self._pieces, "rejects": self._rejects},
        )

    def _pack(self, seconds: float) -> int:
        self._due += self.pieces_per_s * self.rng.uniform(0.9, 1.1) * seconds
        packed = int(self._due)
        self._due -= packed
        self._pieces += packed
        self._rejects += sum(
            self.rng.random() < self.reject_share for _ in range(packed)
        )
        return packed
