"""Modbus RTU on a shared UART: the master sends a request, one module replies.

Frames: Modbus over Serial Line V1.02; the CRC's low byte comes first. Nothing on
the line is trusted: it may carry an echo of the request, a late reply to an earlier
request, or noise in front of a valid frame.

Faults: `no_reply`; `crc` where bytes came and no frame was among them; `exception_N`
for a refusal, with Modbus' code (1 function, 2 address, 3 data, 4 module).
"""

import asyncio

from egiz_edge.drivers import SensorError

_REPLY_MS = 250  # PZEM-004T v3 was measured to need 60 to 130
_FRAME_MS = 40  # from the shortest frame to the longest: 20 bytes at 9600 baud, doubled
GENERAL = 0xF8  # each module replies, with this or its own address

_QUIET_S = 0.004  # 3.5 characters of silence end a frame
_SHORTEST = 4  # bytes
_KEPT = 96  # bytes, of a line that never stops sending


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; on the wire, the low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def framed(body: bytes) -> bytes:
    """With its CRC."""
    return body + crc16(body).to_bytes(2, "little")


def find(heard, header, length):
    """The first whole reply in what was heard, or None.

    Args:
        heard: bytes.
        header: what the reply begins with: address, function, what is fixed beyond.
        length: of the reply, in bytes.
    """
    address, function = header[0], header[1]
    for start in range(len(heard) - _SHORTEST + 1):
        if heard[start] != address != GENERAL:
            continue
        if heard[start + 1] == function | 0x80:
            size = 5
        elif heard[start + 1 : start + len(header)] == header[1:]:
            size = length
        else:
            continue
        frame = heard[start : start + size]
        if len(frame) == size and not crc16(frame):
            return frame
    return None


class Bus:
    """The UART; one request at a time.

    Args:
        uart: a pair of asyncio streams.
        reply_ms: how long a reply may take to begin.

    Attributes:
        heard: the last bytes since the last request.
    """

    def __init__(self, uart, reply_ms=_REPLY_MS):
        self._reader, self._writer = uart
        self._reply_ms = reply_ms
        self.heard = b""

    async def ask(self, body, header, length, wait_ms=None):
        """The reply to a request, checked, with its CRC; raises SensorError.

        The reply to a write is the request again. An echo of the line looks the same,
        so a write must be read back.

        Args:
            body: the request without its CRC.
            header: as of `find`.
            length: as of `find`.
            wait_ms: shorter than `reply_ms` of the bus.
        """
        request = framed(body)
        echo = request if len(request) != length else b""
        await self._flush()
        self._writer.write(request)
        await self._writer.drain()
        self.heard = b""
        has_begun = await self._listen(
            wait_ms or self._reply_ms,
            lambda heard: len(_without(echo, heard)) >= _SHORTEST,
        )
        frame = find(self.heard, header, length)
        if frame is None and has_begun:
            await self._listen(_FRAME_MS, lambda heard: find(heard, header, length))
            frame = find(self.heard, header, length)
        if frame is None:
            raise SensorError("crc" if _without(echo, self.heard) else "no_reply")
        if frame[1] & 0x80:
            raise SensorError("exception_%d" % frame[2])
        return frame

    async def _listen(self, for_ms, is_enough):
        """Whether enough was heard in time."""
        try:
            await asyncio.wait_for(self._hear(is_enough), for_ms / 1000)
        except asyncio.TimeoutError:
            return False
        return True

    async def _hear(self, is_enough):
        while not is_enough(self.heard):
            chunk = await self._reader.read(_KEPT)
            if chunk:
                self.heard = (self.heard + chunk)[-_KEPT:]
            else:
                await asyncio.sleep(0)  # a closed line must not block other tasks

    async def _flush(self):
        """Drop what a late reply left on the line, until the line is silent."""
        for _ in range(_KEPT):
            try:
                await asyncio.wait_for(self._reader.read(_KEPT), _QUIET_S)
            except asyncio.TimeoutError:
                return


def _without(echo, heard):
    """What was heard beyond the echo, which may still be arriving."""
    is_echo = heard[: len(echo)] == echo[: len(heard)]
    return heard[len(echo) :] if is_echo else heard
