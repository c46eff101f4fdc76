"""What every simulated machine is: a model that moves on in time, and its readings."""

import math
import random
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from egiz_schema import Channel, Electrical, Thermal

from egiz_sim.power import Meters
from egiz_sim.sensors import FaultKind, Sensor, SensorFault, meters_with, zones_with
from egiz_sim.shifts import ROUND_THE_CLOCK, Calendar

AMBIENT_C = 22.0
_LONGEST_STEP_S = 1.0  # controls act at the end of a step, so it is short
_LATE_S = 120.0  # by which a machine may begin its shift late


class Reading(NamedTuple):
    """What the sensors of a machine read; each is a member of telemetry."""

    electrical: Electrical | None = None
    thermal: Thermal | None = None
    values: dict[str, float | None] | None = None
    counters: dict[str, int | None] | None = None
    contacts: dict[str, bool | None] | None = None


class Machine(ABC):
    """A machine; `step` moves its time on.

    Attributes:
        device_type: of its device id.
        channels: what its birth declares of values, counters and contacts.
        zones: how many thermometers it has.
        has_meters: whether a meter is on each of its phases.
        setpoint_c: what its thermostat keeps; None if it has none.
        state: running, stopped, fault, or another.
        faults: sensors of it that fail.
        fault_codes: what it knows of them, as of the last reading.
    """

    device_type: ClassVar[str]
    channels: ClassVar[dict[str, Channel]] = {}
    zones: ClassVar[int] = 0
    has_meters: ClassVar[bool] = True
    setpoint_c: float | None = None

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.state = "running"
        self.clock_s = rng.uniform(0, 600)  # where in its cycle it begins
        self.meters = Meters(rng)
        self.faults: list[SensorFault] = []
        self.fault_codes: list[str] = []
        self._thermometers = [Sensor(rng, 0.015, 0.05) for _ in range(self.zones)]
        self._shifts: Calendar = ROUND_THE_CLOCK
        self._time_s = 0.0  # since 1970, as far as `begin` has said it
        self._age_s = 0.0
        self._late_s = rng.uniform(0, _LATE_S)

    def begin(self, time_s: float, shifts: Calendar = ROUND_THE_CLOCK) -> None:
        """Say, before the first step, when that is, and when the plant works."""
        self._time_s = time_s
        self._shifts = shifts

    def step(self, seconds: float) -> Reading:
        """Let `seconds` pass, above 0; gives what the sensors read then."""
        count = max(1, math.ceil(seconds / _LONGEST_STEP_S - 1e-9))
        for _ in range(count):
            self._time_s += seconds / count
            self._age_s += seconds / count
            self.clock_s += seconds / count
            self.advance(seconds / count)
        return self._with_faults(self.read(seconds))

    @property
    def sensors(self) -> list[str]:
        """Names of what can fail, as `SensorFault` has them."""
        zones = [f"zone_{number}" for number in range(self.zones)]
        meters = [f"meter_{phase}" for phase in "abc"] if self.has_meters else []
        return zones + meters

    def fail(self, sensor: str, kind: FaultKind, seconds: float) -> None:
        """Let one of `sensors` fail from now on, for so long."""
        self.faults.append(SensorFault(sensor, kind, self._age_s, seconds))

    @property
    def is_on_shift(self) -> bool:
        """Whether people work at it now."""
        return self._shifts.is_on(self._time_s - self._late_s)

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, at most one."""

    @abstractmethod
    def read(self, seconds: float) -> Reading:
        """What sound sensors show, `seconds` after they were read before."""

    def thermal(self, celsius: list[float], seconds: float, digits: int) -> Thermal:
        """What its thermometers show of these temperatures."""
        zones: list[float | None] = [
            round(sensor.read(true, seconds), digits)
            for sensor, true in zip(self._thermometers, celsius, strict=True)
        ]
        return Thermal(temperature_zones=zones, setpoint=self.setpoint_c)

    def _with_faults(self, reading: Reading) -> Reading:
        if not self.faults:
            return reading
        active = [fault for fault in self.faults if fault.is_active(self._age_s)]
        self.fault_codes = [fault.code for fault in active if fault.kind == "dropout"]
        for fault in active:
            reading = self._with_fault(reading, fault)
        return reading

    def _with_fault(self, reading: Reading, fault: SensorFault) -> Reading:
        seen = (self._age_s, self.rng)
        if reading.thermal and fault.sensor.startswith("zone_"):
            changed = zones_with(fault, reading.thermal, *seen)
            return reading._replace(thermal=changed)
        if reading.electrical and fault.sensor.startswith("meter_"):
            shown = meters_with(fault, reading.electrical, *seen)
            return reading._replace(electrical=shown)
        values = dict(reading.values or {})
        values[fault.sensor] = fault.shown(values[fault.sensor], *seen)
        return reading._replace(values=values)
