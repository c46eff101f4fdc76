"""What an outage costs the flash: littlefs counts, on a model of the board's partition.

960 KB in blocks of 4 KB, as the OTA layout leaves them to files; messages of 415 bytes.
"""

import json
from pathlib import Path
from typing import NamedTuple

from edge.shared import firmware, fresh_broker, interpret

MESSAGES = 2000
_BLOCKS = 240
_CYCLES = 100_000  # that a block survives, by the data sheets of the usual parts
_PERIOD_S = 5
_MODEL = Path(__file__).parents[2] / "packages/egiz-edge/tests/on_device"

_CODE = """
import json, sys
import _flash
from egiz_edge.outbox import Outbox
messages, blocks = int(sys.argv[1]), int(sys.argv[2])
flash = _flash.Flash(4096, blocks)
_flash.mount(flash, is_new=True)
outbox = Outbox("/flash/outbox")
flash.erases = flash.programmed = 0
for _ in range(messages):
    outbox.put(bytes(415))
print(json.dumps({"erases": flash.erases, "programmed": flash.programmed}))
"""


class Wear(NamedTuple):
    """Of each message that goes to flash."""

    erases: float
    amplification: float  # bytes programmed, for each byte of payload
    years: float  # of an outage that never ends, erases spread over all blocks


def measure() -> Wear:
    """Of MESSAGES, one after the other, none acknowledged."""
    with fresh_broker() as (_, directory):
        path = [firmware(directory), _MODEL]
        arguments = (str(MESSAGES), str(_BLOCKS))
        process = interpret(_CODE, *arguments, path=path, heap="4M")
        counts = json.loads(process.communicate()[0].splitlines()[-1])
    erases = counts["erases"] / MESSAGES
    seconds = _BLOCKS * _CYCLES / erases * _PERIOD_S
    return Wear(erases, counts["programmed"] / MESSAGES / 415, seconds / 31_557_600)
