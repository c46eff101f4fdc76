"""The live heap of the whole firmware at rest, under the interpreter with 64-bit words.

Three meters and three thermometers are connected and answer; the broker acknowledges.
What is printed is what a garbage collection leaves.
"""

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

from egiz_edge_tools.hardware import Hardware, Thermometer, rom
from egiz_edge_tools.virtual_board import HEAP, Identity, VirtualBoard
from rig import heap
from rig.device import DEVICE, full_hardware
from rig.heap import Stage

from edge.shared import fresh_broker

_SAMPLES = 20

# Between two samples, when little is under way.
_CODE = """
import asyncio, gc, json, sys
from egiz_edge.main import load
async def watch():
    app = load(sys.argv[1], sys.argv[1] + "/data", 0, "")
    running = asyncio.create_task(app.run())
    figures = []
    await asyncio.sleep(10.4)
    for _ in range(SAMPLES):
        await asyncio.sleep(1)
        gc.collect()
        figures.append(gc.mem_alloc())
    app.stop()
    await running
    print(json.dumps({"heap": sorted(figures), "acked": app.uplink.acked}))
asyncio.run(watch())
"""


class Heap(NamedTuple):
    """Bytes that are in use after a garbage collection."""

    least: int
    median: int
    most: int


def measure() -> Heap:
    """Of SAMPLES seconds, from the tenth second after the start."""
    with fresh_broker() as (broker, directory):
        identity = Identity("factory", DEVICE, broker.host, broker.port)
        flash = directory / "flash"
        flash.mkdir()
        program = _CODE.replace("SAMPLES", str(_SAMPLES))
        board = VirtualBoard(identity, _hardware(), flash, program=program)
        (line,) = [line for line in board.lines() if line.startswith("{")]
        board.close()
    found = json.loads(line)
    assert found["acked"]["telemetry"], "the broker has acknowledged nothing"
    figures = found["heap"]
    return Heap(figures[0], figures[len(figures) // 2], figures[-1])


def stages() -> dict[str, Stage]:
    """Of start, TLS, configuration, command, outage and safe mode."""
    with tempfile.TemporaryDirectory(prefix="egiz-bench-") as name:
        running, safe = Path(name) / "running", Path(name) / "safe"
        running.mkdir()
        safe.mkdir()
        found = heap.stages(running, HEAP)
        return found | {"safe mode": heap.safe_mode(safe, HEAP)}


def _hardware() -> Hardware:
    hardware = full_hardware()
    hardware.thermometers[rom(2)] = Thermometer(23.0)
    return hardware
