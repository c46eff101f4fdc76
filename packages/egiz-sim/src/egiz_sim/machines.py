"""The machines: small physical models, the same for the same seed.

Time constants are those of a small kitchen rather than of a plant, so that a minute of
watching shows a cycle.
"""

import math
import random
from collections.abc import Iterator

from egiz_schema import Thermal

from egiz_sim.machine import AMBIENT_C, Machine, Reading
from egiz_sim.stores_and_lines import ColdRoom, PackingLine, Silo


class Oven(Machine):
    """Three zones that heat along a curve; one thermostat with hysteresis."""

    device_type = "oven"
    setpoint_c = 190.0
    hysteresis_c = 2.0

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._zones = [rng.uniform(150, 185) + rng.uniform(-2, 2) for _ in range(3)]
        self._is_heating = True

    def step(self, seconds: float) -> Reading:
        """Heat below the setpoint, cool towards the room above it."""
        mean = sum(self._zones) / len(self._zones)
        if abs(mean - self.setpoint_c) > self.hysteresis_c:
            self._is_heating = mean < self.setpoint_c
        target = 320.0 if self._is_heating else AMBIENT_C
        share = 1 - math.exp(-seconds / 180)
        self._zones = [
            zone + (target - zone) * share + self.rng.gauss(0, 0.05)
            for zone in self._zones
        ]
        amperes, factor = (18.0, 0.99) if self._is_heating else (0.6, 0.65)
        zones: list[float | None] = [round(zone, 1) for zone in self._zones]
        return Reading(
            self.electrical(seconds, amperes, factor),
            Thermal(temperature_zones=zones, setpoint=self.setpoint_c),
        )


class Mixer(Machine):
    """Kneads for a while and stands for a while; the dough stiffens."""

    device_type = "mixer"
    kneading_s = 45.0
    standing_s = 15.0

    def step(self, seconds: float) -> Reading:
        """A load that grows over each batch of dough."""
        self.clock_s += seconds
        into = self.clock_s % (self.kneading_s + self.standing_s)
        self.state = "running" if into < self.kneading_s else "stopped"
        if self.state == "stopped":
            return Reading(self.electrical(seconds, 0.2, 0.5))
        amperes = 6.0 + 5.0 * into / self.kneading_s + math.sin(into)
        return Reading(self.electrical(seconds, amperes, 0.84))


class Conveyor(Machine):
    """Runs steadily, and jams now and then."""

    device_type = "conveyor"
    jams_per_s = 1 / 120
    jam_s = 8.0

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._jammed_s = 0.0

    def step(self, seconds: float) -> Reading:
        """A jammed motor draws its locked-rotor current until it is freed."""
        self._jammed_s = max(0.0, self._jammed_s - seconds)
        if not self._jammed_s and self.rng.random() < self.jams_per_s * seconds:
            self._jammed_s = self.jam_s
        self.state = "fault" if self._jammed_s else "running"
        amperes, factor = (14.0, 0.4) if self._jammed_s else (3.2, 0.78)
        return Reading(self.electrical(seconds, amperes, factor))


class Freezer(Machine):
    """A compressor that keeps -18 °C between two limits."""

    device_type = "freezer"
    setpoint_c = -18.0
    band_c = 1.5

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._inside_c = rng.uniform(-19, -17)
        self._is_cooling = rng.random() < 0.5  # noqa: PLR2004  # a coin

    def step(self, seconds: float) -> Reading:
        """Cool above the band, coast within it."""
        if abs(self._inside_c - self.setpoint_c) > self.band_c:
            self._is_cooling = self._inside_c > self.setpoint_c
        target = -40.0 if self._is_cooling else AMBIENT_C
        share = 1 - math.exp(-seconds / 600)
        self._inside_c += (target - self._inside_c) * share + self.rng.gauss(0, 0.01)
        amperes, factor = (4.5, 0.82) if self._is_cooling else (0.3, 0.55)
        return Reading(
            self.electrical(seconds, amperes, factor),
            Thermal(
                temperature_zones=[round(self._inside_c, 2)], setpoint=self.setpoint_c
            ),
        )


MACHINES: tuple[type[Machine], ...] = (
    *(Oven, Mixer, Conveyor, Freezer),
    *(ColdRoom, Silo, PackingLine),
)


def fleet(count: int, seed: int) -> Iterator[tuple[str, Machine]]:
    """`count` machines of all types in turn: (device id, machine)."""
    for index in range(count):
        machine = MACHINES[index % len(MACHINES)]
        device_id = f"{machine.device_type}-{index // len(MACHINES) + 1:03}"
        yield device_id, machine(random.Random(f"{seed}/{device_id}"))
