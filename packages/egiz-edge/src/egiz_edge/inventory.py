"""What answers on the buses; in memory only at the start."""

from egiz_edge.drivers import SensorError
from egiz_edge.drivers.ds18b20 import crc8, is_rom


async def found(meters, onewire):
    """Names, such as `pzem_a` and `ds18b20:28ff…`.

    Thermometers that belong to no zone are among them; SPI chips cannot be found.
    An id with a wrong CRC is of a damaged line, and not listed.

    Args:
        meters: pairs of a name and a `Pzem`.
        onewire: the board's.
    """
    names = []
    for name, meter in meters:
        try:
            await meter.read()
            names.append(name)
        except (SensorError, OSError):
            pass
    for rom in await onewire.search():
        if not crc8(rom):
            part = "ds18b20:" if is_rom(rom) else "onewire:"
            names.append(part + rom.hex())
    return names
