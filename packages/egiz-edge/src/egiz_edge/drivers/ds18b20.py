"""DS18B20 thermometers on a 1-Wire bus, each known by its ROM id.

Traps (data sheet, and counterfeits): a shorted bus reads all zeros, with a right CRC;
85 °C is what the scratchpad holds after power-on; 127.94 °C is a failed conversion. Of
other families (DS18S20, DS1822) the numbers mean something else.

Faults of its own: `shorted`; `range`; `conversion`; `power_on`: no conversion since
power-on.
"""

from egiz_edge.drivers import SensorError

CONVERSION_MS = 800  # 750 at 12 bits, and clones are slow
_FAMILY = 0x28

_TRIES = 3  # Wi-Fi and flash disturb the timing of single bits
_POWER_ON_RAW = 0x0550  # 85 °C
_POWER_ON_BYTE6 = 0x0C  # different after a conversion, except on some clones
_FAILED_RAW = 0x07FF
_LEAST_RAW = -880  # -55 °C
_MOST_RAW = 2000  # 125 °C
_NEAR_85 = 200  # 0.01 °C: what a zone may change between two samples


def crc8(data: bytes) -> int:
    """CRC-8 of the 1-Wire bus, polynomial 0x8C reflected."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def is_rom(rom: bytes) -> bool:
    """Whether these eight bytes are the id of a DS18B20."""
    return len(rom) == 8 and rom[0] == _FAMILY and not crc8(rom)


def parse(scratchpad, last=None):
    """A scratchpad as 0.01 °C; raises SensorError.

    Args:
        scratchpad: nine bytes.
        last: the reading before, 0.01 °C: near 85 °C, a clone that does not
            show whether it has converted is accepted.
    """
    if len(scratchpad) != 9 or scratchpad == b"\xff" * 9:
        raise SensorError("no_reply")  # nothing pulls the line down
    if not any(scratchpad):
        raise SensorError("shorted")
    if crc8(scratchpad) or scratchpad[4] & 0x9F != 0x1F:
        raise SensorError("crc")
    raw = scratchpad[1] << 8 | scratchpad[0]
    is_near = last is not None and abs(last - 8500) <= _NEAR_85
    if raw == _POWER_ON_RAW and scratchpad[6] == _POWER_ON_BYTE6 and not is_near:
        raise SensorError("power_on")
    if raw == _FAILED_RAW:
        raise SensorError("conversion")
    bits = 9 + (scratchpad[4] >> 5)
    raw = raw >> (12 - bits) << (12 - bits)  # below its resolution it is undefined
    if raw & 0x8000:
        raw -= 0x10000
    if not _LEAST_RAW <= raw <= _MOST_RAW:
        raise SensorError("range")
    return (raw * 25 + 2) // 4  # sixteenths to hundredths


class Ds18b20:
    """The thermometer with one ROM id."""

    def __init__(self, onewire, rom):
        self._onewire = onewire
        self._rom = rom
        self._last = None

    async def read(self):
        """0.01 °C of the last conversion; a damaged scratchpad is read again."""
        last, self._last = self._last, None
        for left in range(_TRIES - 1, -1, -1):
            scratchpad = await self._onewire.read_scratchpad(self._rom)
            try:
                self._last = parse(scratchpad, last)
                break
            except SensorError as error:
                if not left or error.args[0] not in ("crc", "no_reply"):
                    raise
        return self._last
