"""PZEM-004T v3 power meters, with 10 A shunt or 100 A clamp.

Registers, ranges and frames: the module's data sheet. 32-bit values have the low word
first. The metering side is powered by the mains it measures, so a meter without a reply
is a lost phase or a broken meter, and never 0 V.

Faults, beyond those of Modbus: `range` for a number that the module cannot measure;
`not_reset` for a counter that runs on. A number that is out of range is left out, and
the others stay. A wrong voltage or frequency costs all: the module is fed by what it
measures. `inconsistent` costs none: power is not voltage x current x power factor.
"""

import asyncio
import struct
import time

from egiz_edge.drivers import SensorError

WRITTEN_S = 0.3  # until a meter has done what was written

_READ_INPUT, _RESET_ENERGY = 0x04, 0x42
_WORDS = 10
_REPLY_BYTES = 5 + 2 * _WORDS
_BUDGET_MS = 320  # for a reading: three meters need less than a second
_SHORTEST_MS = 60  # that a meter was measured to need

# A reading with a right CRC can be wrong: what the module can measure.
# In 0.1 V, mA, 0.1 W, Wh, 0.1 Hz, 0.01.
_LEAST_VOLTAGE = 800
_LEAST_FREQUENCY = 450
_MOST = (2600, 100000, 260000, 9999999, 650, 100)


def request(address):
    """The body of a request for all ten input registers."""
    return bytes([address, _READ_INPUT, 0, 0, 0, _WORDS])


def parse(frame):
    """A reply as (0.1 V, mA, 0.1 W, Wh, 0.1 Hz, 0.01 power factor, fault or None).

    A number that the module cannot measure is None. Raises SensorError.
    """
    word = struct.unpack(">10H", frame[3:23])
    reading = [
        word[0],
        word[2] << 16 | word[1],
        word[4] << 16 | word[3],
        word[6] << 16 | word[5],
        word[7],
        word[8],
        None,
    ]
    for place, most in enumerate(_MOST):
        if reading[place] > most:
            reading[place], reading[6] = None, "range"
    if (reading[0] or 0) < _LEAST_VOLTAGE or (reading[4] or 0) < _LEAST_FREQUENCY:
        raise SensorError("range")
    if reading[6] is None and not _is_consistent(reading):
        reading[6] = "inconsistent"
    return tuple(reading)


def _is_consistent(reading):
    """Whether power is voltage x current x power factor, as well as it is measured.

    The data sheet has 0.5 % for each of the first three and 1 % for the factor, which
    is 2.5 %. Twice that of the apparent power is allowed, and 2 W: at the smallest
    current that the module measures, 20 mA, that is half of it.
    """
    apparent = reading[0] * reading[1] // 1000  # in 0.1 VA
    difference = reading[2] - apparent * reading[5] // 100
    return abs(difference) <= apparent // 20 + 20


class Pzem:
    """The meter at one address of a bus."""

    def __init__(self, bus, address):
        self._bus = bus
        self._address = address

    async def read(self):
        """A reading, as of `parse`; raises SensorError.

        A damaged one is requested again while there is time, a missing one is not:
        three silent meters must not cost more than a second.
        """
        begun = time.ticks_ms()
        try:
            return await self._read()
        except SensorError as error:
            left = _BUDGET_MS - time.ticks_diff(time.ticks_ms(), begun)
            if error.args[0] == "no_reply" or left < _SHORTEST_MS:
                raise
        return await self._read(left)

    async def reset_energy(self):
        """Set the counter to zero, and read it back; raises SensorError."""
        body = bytes([self._address, _RESET_ENERGY])
        await self._bus.ask(body, body, 4)
        await asyncio.sleep(WRITTEN_S)
        watt_hours = (await self.read())[3]
        if watt_hours is None or watt_hours > 1:  # the load may have used one since
            raise SensorError("not_reset")

    async def _read(self, wait_ms=None):
        header = bytes([self._address, _READ_INPUT, 2 * _WORDS])
        body = request(self._address)
        return parse(await self._bus.ask(body, header, _REPLY_BYTES, wait_ms))
