"""The sensors of a machine, as parts on the buses of a virtual board."""

import time
from collections.abc import Iterator
from itertools import islice

from egiz_edge_tools.hardware import (
    Hardware,
    Meter,
    Thermocouple,
    Thermometer,
    Trouble,
    rom,
)
from egiz_schema import Electrical

from egiz_sim.machine import Machine, Reading
from egiz_sim.machines import MACHINES, fleet

_PHASES = "abc"
_DS18B20_MAX_C = 125.0  # data sheet; what becomes hotter has a thermocouple
_FIRST_STEP_S = 1.0


def is_hot(machine: Machine) -> bool:
    """Whether its zones become too hot for a DS18B20."""
    return machine.setpoint_c is not None and machine.setpoint_c >= _DS18B20_MAX_C


def wired(count: int, seed: int, sensor_faults: float) -> Iterator[tuple[str, Machine]]:
    """`count` machines that can be wired; names and course as in `egiz-sim run`."""
    machines = fleet(count * len(MACHINES), seed, sensor_faults)
    without_channels = (named for named in machines if not named[1].channels)
    for device_id, machine in islice(without_channels, count):
        machine.begin(time.time())
        yield device_id, machine


class Wiring:
    """Keeps the parts of a board at what the sensors of its machine read.

    A meter for each phase, at the Modbus addresses 1 to 3; a DS18B20 or a MAX31855 for
    each zone; the inputs `running` and `fault`. The firmware has no driver for a
    machine's channels, so a machine that has some cannot be wired.

    Args:
        machine: its time is moved on here.

    Attributes:
        hardware: the parts.
    """

    def __init__(self, machine: Machine) -> None:
        self.hardware = Hardware(pins={"running": 1, "fault": 0})
        self._machine = machine
        zones = range(machine.zones)
        if machine.has_meters:
            self.hardware.meters = {number: Meter() for number in (1, 2, 3)}
        if is_hot(machine):
            self.hardware.thermocouples = {f"tc_{n}": Thermocouple() for n in zones}
        else:
            self.hardware.thermometers = {rom(n): Thermometer() for n in zones}
        self.move(_FIRST_STEP_S)

    def move(self, seconds: float) -> bool:
        """Let `seconds` pass, above 0; gives whether an input has changed."""
        self._put(self._machine.step(seconds))
        pins = {
            "running": int(self._machine.state == "running"),
            "fault": int(self._machine.state == "fault"),
        }
        has_changed = pins != self.hardware.pins
        self.hardware.pins = pins
        return has_changed

    def _put(self, reading: Reading) -> None:
        if reading.electrical is not None:
            for phase, meter in zip(
                _PHASES, self.hardware.meters.values(), strict=True
            ):
                _put_phase(meter, phase, reading.electrical)
        zones = (reading.thermal and reading.thermal.temperature_zones) or []
        parts: list[Thermometer | Thermocouple] = [
            *self.hardware.thermometers.values(),
            *self.hardware.thermocouples.values(),
        ]
        for part, celsius in zip(parts, zones, strict=True):
            _put_zone(part, celsius)


def _put_phase(meter: Meter, phase: str, measured: Electrical) -> None:
    volts = getattr(measured.voltage, phase, None)
    amperes = getattr(measured.current, phase, None)
    watts = getattr(measured.active_power, phase, None)
    watt_hours = getattr(measured.energy_wh, phase, None)
    if volts is None or amperes is None or watts is None or watt_hours is None:
        meter.trouble = Trouble.SILENT  # a sensor that fails
        return
    meter.trouble = Trouble.NONE
    meter.volts, meter.amperes, meter.watt_hours = volts, amperes, int(watt_hours)
    meter.hertz = measured.frequency or meter.hertz
    apparent = volts * amperes
    meter.power_factor = min(1.0, max(0.0, watts / apparent)) if apparent else 0.0


def _put_zone(part: Thermometer | Thermocouple, celsius: float | None) -> None:
    part.trouble = Trouble.SILENT if celsius is None else Trouble.NONE
    if celsius is not None:
        part.celsius = celsius
