"""DS18B20 thermometers on a 1-Wire bus, each known by its ROM id.

Traps (data sheet, and counterfeits): a shorted bus reads all zeros, whose CRC is right;
85 °C is what the scratchpad holds after power-on; 127.94 °C is a failed conversion.
"""

CONVERSION_MS = 800  # 750 at 12 bits, and clones are slow
_POWER_ON_RAW = 0x0550  # 85 °C
_POWER_ON_BYTE6 = 0x0C  # after a conversion it is another
_FAILED_RAW = 0x07FF


class Ds18b20Error(Exception):
    """A reading that failed; args[0] is the fault: no_reply, crc, shorted, power_on."""


def crc8(data: bytes) -> int:
    """CRC-8 of the 1-Wire bus, polynomial 0x8C reflected."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def parse(scratchpad):
    """A scratchpad as 0.01 °C; raises Ds18b20Error."""
    if len(scratchpad) != 9:
        raise Ds18b20Error("no_reply")
    if not any(scratchpad):
        raise Ds18b20Error("shorted")
    if crc8(scratchpad) or scratchpad[4] & 0x9F != 0x1F:
        raise Ds18b20Error("crc")
    raw = scratchpad[1] << 8 | scratchpad[0]
    if raw == _POWER_ON_RAW and scratchpad[6] == _POWER_ON_BYTE6:
        raise Ds18b20Error("power_on")
    if raw == _FAILED_RAW:
        raise Ds18b20Error("conversion")
    if raw & 0x8000:
        raw -= 0x10000
    return (raw * 25 + 2) // 4  # sixteenths to hundredths


class Ds18b20:
    """The thermometer with one ROM id."""

    def __init__(self, onewire, rom):
        self._onewire = onewire
        self._rom = rom

    async def read(self):
        """0.01 °C of the last conversion; one retry."""
        try:
            return parse(await self._onewire.read_scratchpad(self._rom))
        except Ds18b20Error:
            return parse(await self._onewire.read_scratchpad(self._rom))
