"""All sensors of a board, sampled into a window."""

import time

from egiz_edge.drivers.ds18b20 import CONVERSION_MS, Ds18b20, Ds18b20Error
from egiz_edge.drivers.inputs import OperationalState
from egiz_edge.drivers.pzem import Pzem, PzemError
from egiz_edge.telemetry import PHASES


class Sensors:
    """Three meters, the thermometers that are configured, two inputs."""

    def __init__(self, board, zones):
        self._meters = [Pzem(board.uart, address) for address in (1, 2, 3)]
        self._onewire = board.onewire
        self._thermometers = [Ds18b20(board.onewire, rom) for rom in zones]
        self._state = OperationalState(board.pins["running"], board.pins["fault"])
        self._converting_since = None

    async def sample(self, window):
        """Read what can be read; what cannot is a fault code, never a number."""
        window.state = await self._state.read()
        for phase, meter in zip(PHASES, self._meters):
            try:
                _add(window, phase, await meter.read())
            except PzemError as fault:
                window.fault("pzem_%s:%s" % (phase, fault.args[0]))
        window.zones = len(self._thermometers)
        if self._thermometers:
            await self._sample_zones(window)

    async def _sample_zones(self, window):
        """Conversions take longer than a sample may: one is read as it is done."""
        now = time.ticks_ms()
        since = self._converting_since
        if since is not None:
            if time.ticks_diff(now, since) < CONVERSION_MS:
                return
            for number, thermometer in enumerate(self._thermometers):
                try:
                    window.add("t%d" % number, await thermometer.read())
                except Ds18b20Error as fault:
                    window.fault("zone_%d:%s" % (number, fault.args[0]))
        await self._onewire.convert()
        self._converting_since = now


def _add(window, phase, reading):
    volts, milliamperes, power, energy, frequency, factor = reading
    window.add("u" + phase, volts)
    window.add("i" + phase, milliamperes)
    window.add("p" + phase, power)
    window.keep("e" + phase, energy)
    window.add("f", frequency)
    window.add("pf", factor)
