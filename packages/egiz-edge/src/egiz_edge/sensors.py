"""All sensors of a board, sampled into a window."""

import asyncio
import time

from egiz_edge import unload
from egiz_edge.drivers import SensorError
from egiz_edge.drivers.ds18b20 import CONVERSION_MS, Ds18b20
from egiz_edge.drivers.inputs import OperationalState
from egiz_edge.drivers.modbus import Bus
from egiz_edge.drivers.pzem import Pzem

# Of each meter, by its address on the bus: what its fault codes begin with, and its
# voltage, current, power and energy in the window. Lists, as each text of a constant
# tuple costs 64 bytes of the heap, and a short one in code none.
_METERS = [
    ["pzem_a", "ua", "ia", "pa", "ea"],
    ["pzem_b", "ub", "ib", "pb", "eb"],
    ["pzem_c", "uc", "ic", "pc", "ec"],
]
_STATES = (("fault", "fault"), ("running", "running"))

_TC_CONVERSION_MS = (
    250  # a MAX6675 starts a conversion at each reading, which lasts 220
)
_STALE_MS = 5000  # an older conversion is not read


class Sensors:
    """Three meters, the thermometers and thermocouples that are configured, inputs.

    A bus carries one conversation at a time, so one method at a time may run.

    Args:
        board: a port's `Board`.
        zones: ROM ids of thermometers, in the order of their zones.
        thermocouples: pairs of a chip (`max31855`, `max6675`) and its select line
            (`tc_0`), for the zones after those.
        states: pairs of an operational state and the pin of its contact; the first
            that is closed decides.
        calibration: field, ROM id or select line -> `gain` and `offset`.
    """

    def __init__(  # each is another setting
        self, board, zones, thermocouples=(), states=None, calibration=None
    ):
        bus = Bus(board.uart)
        self._meters = [Pzem(bus, number + 1) for number in range(len(_METERS))]
        self._onewire = board.onewire
        self._thermometers = [Ds18b20(board.onewire, rom) for rom in zones]
        self._thermocouples = _thermocouples(board.spi, thermocouples)
        self._state = OperationalState(
            [(s, board.pins[pin]) for s, pin in states or _STATES]
        )
        self._energy = [0] * len(_METERS)  # in Wh, as read last
        self._converting_since = None
        self._tc_read_at = None
        if calibration:
            self._calibrate(calibration, zones, thermocouples)

    def _calibrate(self, given, zones, thermocouples):
        from egiz_edge import calibration  # noqa: PLC0415  # few devices have one

        self._meters = [
            calibration.meter(part, names[0][-1], given)
            for part, names in zip(self._meters, _METERS)
        ]
        self._thermometers = [
            calibration.zone(part, rom.hex(), given)
            for part, rom in zip(self._thermometers, zones)
        ]
        self._thermocouples = [
            calibration.zone(part, cs_name, given)
            for part, (_, cs_name) in zip(self._thermocouples, thermocouples)
        ]

    async def sample(self, window):
        """Read what can be read; what cannot is a fault code, never a number.

        A thermometer needs longer to convert than a sample may; it is read when the
        conversion is done. A zone without a sample in a shorter window has no code.
        """
        state = await _read("inputs", self._state, window)
        if state is not None:
            window.state = state
        for number, names in enumerate(_METERS):
            reading = await _read(names[0], self._meters[number], window)
            if reading is None:
                window.add(names[1], None)
            else:
                self._add(window, number, reading)
        window.zones = len(self._thermometers) + len(self._thermocouples)
        if self._thermometers:
            await self._sample_thermometers(window)
        if self._thermocouples:
            await self._sample_thermocouples(window)

    async def reset_energy(self):
        """Set all energy counters to zero; gives a fault code for each failure."""
        codes = []
        self._energy = [0] * len(_METERS)  # that they fall is wanted
        for names, meter in zip(_METERS, self._meters):
            try:
                await meter.reset_energy()
            except (SensorError, OSError) as error:
                codes.append(_code(names[0], error))
        return codes

    async def found(self):
        """What answers on the buses, see inventory.py."""
        from egiz_edge import inventory  # noqa: PLC0415  # not kept, see unload

        try:
            names = [names[0] for names in _METERS]
            return await inventory.found(zip(names, self._meters), self._onewire)
        finally:
            unload("inventory")

    def _add(self, window, number, reading):
        volts, milliamperes, power, energy, frequency, factor, fault = reading
        names = _METERS[number]
        window.add(names[1], volts)
        window.add(names[2], milliamperes)
        window.add(names[3], power)
        window.add("f", frequency)
        window.add("pf", factor)
        if fault:
            window.fault(names[0] + ":" + fault)
        if energy is not None:
            window.last[names[4]] = energy
            if energy < self._energy[number]:
                window.fault(names[0] + ":energy_fell")
            self._energy[number] = energy

    async def _sample_thermometers(self, window):
        age_ms = _age_ms(self._converting_since)
        if age_ms is not None and age_ms < CONVERSION_MS:
            return
        if age_ms is None or age_ms > _STALE_MS:
            await self._onewire.convert()
            await asyncio.sleep(CONVERSION_MS / 1000)
        await _sample_zones(window, 0, self._thermometers)
        await self._onewire.convert()
        self._converting_since = time.ticks_ms()

    async def _sample_thermocouples(self, window):
        age_ms = _age_ms(self._tc_read_at)
        if age_ms is None or age_ms >= _TC_CONVERSION_MS:
            await _sample_zones(window, len(self._thermometers), self._thermocouples)
            self._tc_read_at = time.ticks_ms()


def _thermocouples(spi, wanted):
    """Imported only where there are any: the driver costs 2 KB."""
    if not wanted:
        return ()
    from egiz_edge.drivers.thermocouple import Thermocouple  # noqa: PLC0415  # as above

    return [Thermocouple(spi, chip, cs_name) for chip, cs_name in wanted]


def _age_ms(since):
    return None if since is None else time.ticks_diff(time.ticks_ms(), since)


async def _sample_zones(window, first, parts):
    for number, part in enumerate(parts, first):
        window.add("t%d" % number, await _read("zone_%d" % number, part, window))


async def _read(name, part, window):
    try:
        return await part.read()
    except (SensorError, OSError) as error:
        window.fault(_code(name, error))


def _code(name, error):
    """The fault code of a `SensorError`, or of a port that failed."""
    is_known = isinstance(error, SensorError)
    return "%s:%s" % (name, error.args[0] if is_known else "bus")
