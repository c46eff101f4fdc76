"""The address of a meter: set, and read back."""

import asyncio

from egiz_edge.drivers import SensorError
from egiz_edge.drivers.modbus import framed
from egiz_edge_tools.pzem_address import read_address, set_address


class _Meter:
    """A bus with one meter, which may ignore writes."""

    def __init__(self, address, is_read_only=False):
        self.address = address
        self._is_read_only = is_read_only
        self.written = []

    async def ask(self, body, _header, _length):
        if body[0] not in (0xF8, self.address):
            raise SensorError("no_reply")
        if body[1] == 6:
            self.written.append(body)
            if not self._is_read_only:
                self.address = body[5]
            return framed(body)
        return framed(bytes([body[0], 3, 2, 0, self.address]))


def test_an_address_is_set_and_read_back():
    meter = _Meter(1)
    asyncio.run(set_address(meter, 3))
    assert meter.written == [bytes.fromhex("F80600020003")]
    assert asyncio.run(read_address(meter)) == 3
    asyncio.run(set_address(meter, 2, current=3))
    assert meter.written[1] == bytes.fromhex("030600020002")


def test_an_address_that_the_meter_ignores_is_noticed():
    fault = None
    try:
        asyncio.run(set_address(_Meter(1, is_read_only=True), 3))
    except SensorError as error:
        fault = error.args[0]
    assert fault == "not_set"


def test_an_address_that_a_meter_cannot_have_is_not_sent():
    for address in (0, 0xF8, 256, -1):
        meter = _Meter(1)
        try:
            asyncio.run(set_address(meter, address))
        except ValueError:
            assert meter.written == []
        else:
            raise AssertionError(address)
