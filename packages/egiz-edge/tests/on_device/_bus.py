"""What drivers are given by a board: a bus that gives prepared answers, and a pin."""

from egiz_edge.drivers.ds18b20 import crc8


class Bus:
    """Any bus of the drivers. An answer is bytes, or a function that gives them.

    `requests` is what was asked: (method, arguments).
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def _answer(self, *request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer

    async def ask(self, body, header, length, wait_ms=None):
        """As of `egiz_edge.drivers.modbus.Bus`."""
        return self._answer("ask", body, header, length, wait_ms)

    async def convert(self):
        """As of a board's 1-Wire bus."""
        self.requests.append(("convert",))

    async def read_scratchpad(self, rom):
        """As of a board's 1-Wire bus."""
        return self._answer("read_scratchpad", rom)

    async def read(self, cs_name, n):
        """As of a board's SPI bus."""
        return self._answer("read", cs_name, n)


class Pin:
    """Levels in turn; the last one stays."""

    def __init__(self, *levels):
        self.levels = list(levels)

    def value(self):
        return self.levels.pop(0) if len(self.levels) > 1 else self.levels[0]


def scratchpad(raw, byte6=None, config=0x7F):
    """Nine bytes of a DS18B20: `raw` in sixteenths of a degree."""
    raw &= 0xFFFF
    if byte6 is None:
        byte6 = 0x10 - (raw & 0x0F)
    body = bytes([raw & 0xFF, raw >> 8, 0x4B, 0x46, config, 0xFF, byte6, 0x10])
    return body + bytes([crc8(body)])
