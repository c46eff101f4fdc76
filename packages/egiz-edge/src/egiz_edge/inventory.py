"""What answers on the buses; in memory only at the start."""

from egiz_edge.drivers import SensorError
from egiz_edge.drivers.ds18b20 import crc8, is_rom


async def found(meters, onewire):
    """Names, such as `pzem_a` and `ds18b20:28ff…`.

    Thermometers that belong to no zone are among them; SPI chips cannot be found.
    An id with a wrong CRC is of a damaged line, and not listed. After that of a
    thermometer without a supply, which cannot convert, there is `:parasite_power`.

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
        if is_rom(rom):
            lacks = ":parasite_power" if await onewire.is_parasitic(rom) else ""
            names.append("ds18b20:" + rom.hex() + lacks)
        elif not crc8(rom):
            names.append("onewire:" + rom.hex())
    return names
