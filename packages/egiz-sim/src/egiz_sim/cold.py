"""Machines that cool: a compressor moves heat out, several times what it draws."""

import math
import random
from typing import ClassVar

from egiz_schema import Channel

from egiz_sim.heat import Body
from egiz_sim.machine import AMBIENT_C, Machine, Reading
from egiz_sim.power import Draw, Motor, load
from egiz_sim.sensors import Sensor

_HALF = 0.5
_STANDBY = load(0.3, 0.55)  # fans and controls


class _Cooler(Machine):
    """A compressor with a thermostat, for one body of air and goods."""

    zones = 1
    setpoint_c: float
    band_c: float
    performance: float  # heat moved, over the power of the compressor

    def __init__(self, rng: random.Random, motor: Motor, body: Body) -> None:
        super().__init__(rng)
        self.body = body
        self.is_cooling = rng.random() < _HALF
        self._motor = motor

    def control(self) -> None:
        """Cool above the band, coast within it."""
        if abs(self.body.celsius - self.setpoint_c) > self.band_c:
            self.is_cooling = self.body.celsius > self.setpoint_c

    def cool(self, seconds: float, opening_w_k: float = 0.0) -> None:
        """Let `seconds` pass with the compressor as it is, and a door."""
        if self.is_cooling:
            draw = self._motor.turn(seconds, 1.0)
            moved = 3 * self.performance * self._motor.rated_w
        else:
            self._motor.stop()
            draw, moved = Draw(0, 0), 0.0
        self.meters.use(seconds, draw + _STANDBY)
        self.body.heat(seconds, -moved, AMBIENT_C, opening_w_k)


class Freezer(_Cooler):
    """A compressor that keeps -18 °C between two limits, and a heater that defrosts."""

    device_type = "freezer"
    setpoint_c = -18.0
    band_c = 1.5
    performance = 1.2
    defrost_every_s = 1200.0
    defrost_s = 60.0
    defroster_w = 500.0  # of each phase
    defrost_share = 0.3  # of its heat goes into the room, the rest melts ice

    def __init__(self, rng: random.Random) -> None:
        body = Body(29_400, 49, rng.uniform(-19, -17))
        super().__init__(rng, Motor(4.5, 0.82), body)

    def advance(self, seconds: float) -> None:
        """Cool above the band, coast within it; heat the evaporator now and then."""
        into = self.clock_s % self.defrost_every_s
        self.state = "defrost" if into < self.defrost_s else "running"
        if self.state == "running":
            self.control()
            self.cool(seconds)
            return
        self.is_cooling = False
        self._motor.stop()
        heaters = self.meters.resistors(self.defroster_w)
        self.meters.use(seconds, [heater + _STANDBY for heater in heaters])
        watts = self.defrost_share * sum(heater.watts for heater in heaters)
        self.body.heat(seconds, watts, AMBIENT_C)

    def read(self, seconds: float) -> Reading:
        """Meters, and a thermometer."""
        thermal = self.thermal([self.body.celsius], seconds, 2)
        return Reading(self.meters.read(), thermal)


class ColdRoom(_Cooler):
    """4 °C and a door; an open one lets warm and moist air in."""

    device_type = "cold-room"
    channels: ClassVar[dict[str, Channel]] = {
        "humidity": Channel(quantity="humidity"),
        "door": Channel(quantity="door"),
        "door_openings": Channel(quantity="cycles", unit="{opening}"),
    }
    setpoint_c = 4.0
    band_c = 0.8
    performance = 2.5
    door_w_k = 870.0
    openings_per_s = 1 / 60
    open_s = (5.0, 25.0)

    def __init__(self, rng: random.Random) -> None:
        body = Body(87_300, 97, rng.uniform(3.5, 4.5))
        super().__init__(rng, Motor(3.8, 0.82), body)
        self._hygrometer = Sensor(rng, 0.1, 0.2)
        self._humidity = rng.uniform(78, 84)
        self._open_s = 0.0
        self._openings = rng.randrange(1000)

    @property
    def sensors(self) -> list[str]:
        """As of any machine, and the hygrometer."""
        return [*super().sensors, "humidity"]

    def advance(self, seconds: float) -> None:
        """Cool above the band and dry the air; with an open door, drift to the room."""
        self._move_door(seconds)
        self.control()
        self.cool(seconds, self.door_w_k if self._open_s else 0.0)
        self._mix_air(seconds)

    def read(self, seconds: float) -> Reading:
        """Meters, thermometer and hygrometer, and the contact of the door."""
        humidity = self._hygrometer.read(self._humidity, seconds)
        return Reading(
            self.meters.read(),
            self.thermal([self.body.celsius], seconds, 2),
            {"humidity": round(min(100.0, humidity), 1)},
            {"door_openings": self._openings},
            {"door": self._open_s > 0},
        )

    def _move_door(self, seconds: float) -> None:
        was_open = self._open_s > 0
        self._open_s = max(0.0, self._open_s - seconds)
        chance = self.openings_per_s * seconds
        if self.is_on_shift and not was_open and self.rng.random() < chance:
            self._open_s = self.rng.uniform(*self.open_s)
            self._openings += 1

    def _mix_air(self, seconds: float) -> None:
        # Outside air is cooled, so that the water in it is near the dew point.
        end, constant_s = (97.0, 90.0) if self._open_s else (84.0, 900.0)
        if self.is_cooling and not self._open_s:
            end, constant_s = 72.0, 240.0
        self._humidity += (end - self._humidity) * -math.expm1(-seconds / constant_s)
