"""Thermocouples, type K, behind a MAX31855 or a MAX6675 on SPI.

SPI has no way to say that no chip is there: a line that is not driven reads all zeros
or all ones. Both are faults, even where a chip could send them. Nor is
there a checksum: `crc` is a word that the chip cannot send.

Faults of its own: `open` (no thermocouple), `shorted_to_ground`, `shorted_to_supply`,
`range`.
"""

from egiz_edge.drivers import SensorError

RANGE = (-20000, 180000)  # 0.01 °C; of the contract, which would drop the reading
_COLD = (-5500, 12700)  # that the chip can measure
_MAX6675_MOST = 4095  # quarters of a degree: all ones

_FAULTS = ((1, "open"), (2, "shorted_to_ground"), (4, "shorted_to_supply"))


def max31855(word):
    """The four bytes as (junction, cold junction), 0.01 °C; raises SensorError.

    Data sheet 19-5793: bits 31 to 18 are the junction in quarters, 15 to 4 the cold one
    in sixteenths, both signed; 16 is set by a fault, 2 to 0 say which;
    17 and 3 are zero.
    """
    if not any(word) or word == b"\xff" * 4:
        raise SensorError("no_reply")
    if word[1] & 2 or word[3] & 8 or bool(word[1] & 1) != bool(word[3] & 7):
        raise SensorError("crc")
    for bit, fault in _FAULTS:
        if word[3] & bit:
            raise SensorError(fault)
    junction = _signed((word[0] << 8 | word[1]) >> 2, 14) * 25
    cold = _signed((word[2] << 8 | word[3]) >> 4, 12)
    return junction, (cold * 25 + 2) // 4


def max6675(word):
    """The two bytes as (junction, None), 0.01 °C; raises SensorError.

    Data sheet 19-2235: bits 14 to 3 are the junction in quarters, never below zero; 2
    says that it is open; 15 and 1 are zero. Zero degrees is also what it gives for all
    that is colder, and a line without a chip; 1023.75 for all that is hotter: `range`.
    """
    if word == b"\xff" * 2:
        raise SensorError("no_reply")
    if word[0] & 0x80 or word[1] & 2:
        raise SensorError("crc")
    if word[1] & 4:
        raise SensorError("open")
    quarters = (word[0] << 8 | word[1]) >> 3
    if quarters in (0, _MAX6675_MOST):
        raise SensorError("range")
    return quarters * 25, None


CHIPS = {"max31855": (max31855, 4), "max6675": (max6675, 2)}


class Thermocouple:
    """The chip with one select line.

    Args:
        spi: the board's.
        chip: a key of `CHIPS`.
        cs_name: the select line.
    """

    def __init__(self, spi, chip, cs_name):
        self._spi = spi
        self._parse, self._bytes = CHIPS[chip]
        self._cs_name = cs_name

    async def read(self):
        """0.01 °C; raises SensorError."""
        word = await self._spi.read(self._cs_name, self._bytes)
        junction, cold = self._parse(word)
        is_cold_sound = cold is None or _COLD[0] <= cold <= _COLD[1]
        if not RANGE[0] <= junction <= RANGE[1] or not is_cold_sound:
            raise SensorError("range")
        return junction


def _signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value
