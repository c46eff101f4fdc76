"""Power meters at a serial adapter, read with the firmware's own driver."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

import serial
from egiz_edge.drivers import SensorError, modbus

from egiz_edge_tools.errors import PortError
from egiz_edge_tools.pzem_address import read_address, set_address
from egiz_edge_tools.remote import BUSY, check_device

_POLL_S = 0.002
_BUS: Any = modbus.Bus  # firmware has no types

# The driver's fault code, the cause, the fix.
_MEANINGS = {
    "no_reply": (
        "no meter answers",
        "It needs mains at L and N, and 5 V at its interface; are RX and TX swapped?",
    ),
    "crc": (
        "what answers is not one meter",
        "Connect one meter only; check 5 V, ground and the length of the wires.",
    ),
    "not_set": (
        "the meter acknowledges the new address and keeps its old one",
        "Switch its mains off and on, and try again.",
    ),
}


class Meters:
    """Those at `port`, which is an adapter with 5 V logic: 9600 baud, 8N1.

    Raises:
        PortError: if the port cannot be used; of each method, if the meter does not
            answer as it should.
    """

    def __init__(self, port: str) -> None:
        check_device(port)
        self._port = port
        try:
            self._serial = serial.Serial(port, 9600, timeout=0, exclusive=True)
        except serial.SerialException as error:
            is_busy = "lock" in str(error)
            explained = BUSY if is_busy else (str(error), "Check the adapter.")
            raise PortError(
                port, *(part.format(port=port) for part in explained)
            ) from None
        line = _Line(self._serial)
        # Adapters deliver bytes late, and no sample waits here.
        self._bus: Any = _BUS((line, line), 1000)

    def address_of(self, address: int) -> int:
        """The address of the one that answers at `address`."""
        return int(self._ask(read_address(self._bus, address)))

    def is_in_use(self, address: int) -> bool:
        """Whether a meter answers at this address; a damaged answer counts."""
        try:
            asyncio.run(read_address(self._bus, address))
        except SensorError as error:
            return bool(error.args[0] != "no_reply")
        return True

    def give(self, new: int, current: int) -> None:
        """Change the address of the meter at `current` to `new`; it is read back."""
        self._ask(set_address(self._bus, new, current))

    def close(self) -> None:
        """Close the port."""
        self._serial.close()

    def _ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run(request)
        except SensorError as error:
            reason = error.args[0]
            refused = (f"the meter refuses: {reason}", "Is it a PZEM-004T v3?")
            explained = _MEANINGS.get(reason, refused)
        except serial.SerialException:
            explained = ("the connection was lost", "Check the adapter's cable.")
        raise PortError(self._port, *explained)


@contextlib.contextmanager
def meters_at(port: str) -> Iterator[Meters]:
    """`Meters` that are closed at the end."""
    meters = Meters(port)
    try:
        yield meters
    finally:
        meters.close()


class _Line:
    """A serial port as the stream pair that the driver expects."""

    def __init__(self, port: serial.Serial) -> None:
        self._serial = port

    async def read(self, count: int) -> bytes:
        while not self._serial.in_waiting:  # noqa: ASYNC110  # pyserial has no event for it
            await asyncio.sleep(_POLL_S)
        return bytes(self._serial.read(min(count, self._serial.in_waiting)))

    def write(self, data: bytes) -> None:
        self._serial.write(data)

    async def drain(self) -> None:
        self._serial.flush()
