"""Set the address of a PZEM-004T v3 on the shared UART; new ones all have 1.

A bus is `egiz_edge.drivers.modbus.Bus`, which has no types: it is device code.
Fault, beyond those of Modbus: `not_set`.
"""

import asyncio
from typing import Any

from egiz_edge.drivers import SensorError, modbus
from egiz_edge.drivers.pzem import WRITTEN_S

ADDRESSES = (0x01, 0xF7)  # lowest and highest that a meter can have

_READ_HOLDING, _WRITE = 0x03, 0x06
_ADDRESS = 2  # the holding register


async def read_address(bus: Any, address: int = modbus.GENERAL) -> int:
    """The address of the meter that answers at `address`; raises SensorError.

    At the general address all meters answer at the same time: connect only one.
    """
    body = bytes([address, _READ_HOLDING, 0, _ADDRESS, 0, 1])
    frame = await bus.ask(body, bytes([address, _READ_HOLDING, 2]), 7)
    return int(frame[3]) << 8 | int(frame[4])


async def set_address(bus: Any, new: int, current: int = modbus.GENERAL) -> None:
    """Give a meter another address, and check that it answers there.

    Raises SensorError, or ValueError for an address that a meter cannot have.
    """
    if not ADDRESSES[0] <= new <= ADDRESSES[1]:
        raise ValueError(f"address: not {ADDRESSES[0]}..{ADDRESSES[1]}")
    body = bytes([current, _WRITE, 0, _ADDRESS, 0, new])
    await bus.ask(body, body[:2], 8)
    await asyncio.sleep(WRITTEN_S)
    try:
        found = await read_address(bus, new)
    except SensorError:
        found = None  # no meter answers there
    if found != new:
        raise SensorError("not_set")
