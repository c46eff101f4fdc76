"""The machines: small physical models, the same for the same seed.

Time constants are those of a small kitchen rather than of a plant, so that a minute of
watching shows a cycle.
"""

import random
from collections.abc import Iterator

from egiz_sim.cold import ColdRoom, Freezer
from egiz_sim.heat import Body
from egiz_sim.machine import AMBIENT_C, Machine, Reading
from egiz_sim.power import Motor, load
from egiz_sim.sensors import some_fault
from egiz_sim.shifts import ROUND_THE_CLOCK, Calendar
from egiz_sim.stores_and_lines import PackingLine, Silo


class Oven(Machine):
    """Three zones, each with a heater on a phase of its own; one thermostat; a door.

    The door is at the last zone. While it is open, that zone cools most.
    """

    device_type = "oven"
    zones = 3
    setpoint_c = 190.0
    hysteresis_c = 2.0
    heater_w = 4140.0
    zone_j_k = 2490.0
    zone_w_k = 13.9
    between_w_k = 4.0  # from a zone to the next
    door_w_k = (5.0, 10.0, 25.0)
    openings_per_s = 1 / 90
    open_s = (4.0, 10.0)

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.bodies = [
            Body(self.zone_j_k, self.zone_w_k, rng.uniform(148, 187)) for _ in range(3)
        ]
        self._is_heating = True
        self._open_s = 0.0

    def begin(self, time_s: float, shifts: Calendar = ROUND_THE_CLOCK) -> None:
        """As of any machine; out of its shift, it is cold."""
        super().begin(time_s, shifts)
        if not self.is_on_shift:
            for body in self.bodies:
                body.celsius = AMBIENT_C

    @property
    def is_open(self) -> bool:
        """Whether its door is open."""
        return self._open_s > 0

    def advance(self, seconds: float) -> None:
        """Heat below the setpoint; lose heat to the room, and through an open door."""
        self._move_door(seconds)
        self._control()
        heaters = self.meters.resistors(self.heater_w if self._is_heating else 0.0)
        fan = load(0.6, 0.65) if self.is_on_shift else load(0.05, 0.5)
        self.meters.use(seconds, [heater + fan for heater in heaters])
        inputs = [heater.watts for heater in heaters]
        for first in (0, 1):
            exchanged = self.between_w_k * (
                self.bodies[first].celsius - self.bodies[first + 1].celsius
            )
            inputs[first] -= exchanged
            inputs[first + 1] += exchanged
        for body, watts, door in zip(self.bodies, inputs, self.door_w_k, strict=True):
            body.heat(seconds, watts, AMBIENT_C, door if self.is_open else 0.0)

    def read(self, seconds: float) -> Reading:
        """Meters, and a thermometer in each zone."""
        celsius = [body.celsius for body in self.bodies]
        return Reading(self.meters.read(), self.thermal(celsius, seconds, 1))

    def _control(self) -> None:
        mean = sum(body.celsius for body in self.bodies) / len(self.bodies)
        assert self.setpoint_c is not None
        if abs(mean - self.setpoint_c) > self.hysteresis_c:
            self._is_heating = mean < self.setpoint_c
        self._is_heating = self._is_heating and self.is_on_shift
        self.state = "running" if self.is_on_shift else "stopped"

    def _move_door(self, seconds: float) -> None:
        self._open_s = max(0.0, self._open_s - seconds)
        chance = self.openings_per_s * seconds
        if self.is_on_shift and not self.is_open and self.rng.random() < chance:
            self._open_s = self.rng.uniform(*self.open_s)


class Mixer(Machine):
    """Kneads for a while and stands for a while; the dough stiffens."""

    device_type = "mixer"
    kneading_s = 45.0
    standing_s = 15.0

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._motor = Motor(9.0, 0.84)

    def advance(self, seconds: float) -> None:
        """A load that grows over each batch of dough."""
        into = self.clock_s % (self.kneading_s + self.standing_s)
        is_kneading = into < self.kneading_s and self.is_on_shift
        self.state = "running" if is_kneading else "stopped"
        if is_kneading:
            share = 0.5 + 0.7 * into / self.kneading_s + self.rng.gauss(0, 0.04)
            self.meters.use(seconds, self._motor.turn(seconds, share))
        else:
            self._motor.stop()
            self.meters.use(seconds, load(0.2, 0.5))

    def read(self, seconds: float) -> Reading:
        """Meters alone."""
        del seconds
        return Reading(self.meters.read())


class Conveyor(Machine):
    """Runs steadily, with more or less on its belt, and jams now and then."""

    device_type = "conveyor"
    jams_per_s = 1 / 120
    jam_s = 8.0

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._motor = Motor(3.6, 0.78)
        self._share = 0.7  # of its rated load: what is on the belt
        self._jammed_s = 0.0

    def advance(self, seconds: float) -> None:
        """A jammed motor draws its locked-rotor current until it is freed."""
        if not self.is_on_shift:
            self.state, self._jammed_s = "stopped", 0.0
            self._motor.stop()
            self.meters.use(seconds, load(0.1, 0.5))
            return
        self._jammed_s = max(0.0, self._jammed_s - seconds)
        if not self._jammed_s and self.rng.random() < self.jams_per_s * seconds:
            self._jammed_s = self.jam_s
        self.state = "fault" if self._jammed_s else "running"
        if self._jammed_s:
            self.meters.use(seconds, self._motor.locked())
            return
        self._share += (0.7 - self._share) * seconds / 30
        self._share += self.rng.gauss(0, 0.03) * seconds
        self.meters.use(seconds, self._motor.turn(seconds, max(0.2, self._share)))

    def read(self, seconds: float) -> Reading:
        """Meters alone."""
        del seconds
        return Reading(self.meters.read())


MACHINES: tuple[type[Machine], ...] = (
    *(Oven, Mixer, Conveyor, Freezer),
    *(ColdRoom, Silo, PackingLine),
)


def fleet(
    count: int, seed: int, sensor_faults: float = 0.0
) -> Iterator[tuple[str, Machine]]:
    """`count` machines of all types in turn: (device id, machine).

    Args:
        count: how many.
        seed: of all of them; a machine is the same in a fleet of any size.
        sensor_faults: share of the machines that have a sensor which fails.
    """
    for index in range(count):
        kind = MACHINES[index % len(MACHINES)]
        device_id = f"{kind.device_type}-{index // len(MACHINES) + 1:03}"
        machine = kind(random.Random(f"{seed}/{device_id}"))
        chance = random.Random(f"{seed}/{device_id}/fault")
        if chance.random() < sensor_faults:
            machine.faults.append(some_fault(machine.sensors, chance))
        yield device_id, machine
