"""PZEM-004T v3 power meters: Modbus RTU, three addresses on one UART, 9600 8N1.

Registers and frames: the module's data sheet. 32-bit values have the low word first.
The metering side is powered by the mains it measures, so a meter without a reply is a
lost phase or a broken meter, and never 0 V.
"""

import asyncio

REPLY_S = 0.25  # it takes 60 to 130 ms
_QUIET_S = 0.004  # 3.5 characters of silence end a frame
_READ_INPUT = 0x04
_WORDS = 10
_REPLY_BYTES = 5 + 2 * _WORDS


class PzemError(Exception):
    """A reading that failed; args[0] is the fault: no_reply, crc, or exception_N."""


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; on the wire, the low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def request(address):
    """The frame that asks for all ten input registers."""
    body = bytes([address, _READ_INPUT, 0, 0, 0, _WORDS])
    return body + crc16(body).to_bytes(2, "little")


def parse(address, frame):
    """A reply as (0.1 V, mA, 0.1 W, Wh, 0.1 Hz, 0.01 power factor).

    Raises PzemError.
    """
    if len(frame) < 5:
        raise PzemError("no_reply")
    if crc16(frame[:-2]).to_bytes(2, "little") != frame[-2:] or frame[0] != address:
        raise PzemError("crc")
    if frame[1] != _READ_INPUT:
        raise PzemError("exception_%d" % frame[2])
    if len(frame) != _REPLY_BYTES:
        raise PzemError("crc")
    word = [frame[i] << 8 | frame[i + 1] for i in range(3, 3 + 2 * _WORDS, 2)]
    return (
        word[0],
        word[2] << 16 | word[1],
        word[4] << 16 | word[3],
        word[6] << 16 | word[5],
        word[7],
        word[8],
    )


class Pzem:
    """The meter at one address of a shared UART."""

    def __init__(self, uart, address):
        self._reader, self._writer = uart
        self._address = address

    async def read(self):
        """A reading, as of `parse`.

        A garbled one is asked for again, a missing one is not: three silent meters must
        not cost more than a second.
        """
        try:
            return await self._read_once()
        except PzemError as fault:
            if fault.args[0] == "no_reply":
                raise
            return await self._read_once()

    async def _read_once(self):
        await self._flush()
        self._writer.write(request(self._address))
        await self._writer.drain()
        frame = b""
        try:
            frame = await asyncio.wait_for(self._reader.readexactly(5), REPLY_S)
            if frame[1] == _READ_INPUT:
                rest = self._reader.readexactly(_REPLY_BYTES - 5)
                frame += await asyncio.wait_for(rest, REPLY_S)
        except (asyncio.TimeoutError, EOFError):
            pass  # what came in time tells what it was
        return parse(self._address, frame)

    async def _flush(self):
        """Drop what a late reply left on the line."""
        try:
            while True:
                await asyncio.wait_for(self._reader.read(64), _QUIET_S)
        except asyncio.TimeoutError:
            pass
