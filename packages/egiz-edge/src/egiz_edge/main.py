"""The program of the virtual board: `main(directory)` runs until stdin ends.

Prints a line for a person to read whenever something changes, and at the end one line
of JSON: how many messages of each kind the broker has acknowledged.
"""

import asyncio
import gc
import json
import sys

from egiz_edge.app import App
from egiz_edge.ports.virtual import Board
from egiz_edge.settings import Settings


def main(directory):
    """Run the board in `directory`, which holds its settings.json."""
    gc.threshold(8192)  # bytes; garbage that is left lying tears the heap into holes
    with open(directory + "/settings.json") as file:
        settings = Settings(json.load(file))
    asyncio.run(_run(App(Board(directory), settings, print), settings.device_id))


async def _run(app, device_id):
    watch = asyncio.create_task(_stop_at_end_of_input(app))
    await app.run()
    watch.cancel()
    told = {"device_id": device_id, "acked": app.acked, "unacked": app.unacked}
    print(json.dumps(told))


async def _stop_at_end_of_input(app):
    """The host closes our stdin to stop us, also when it dies."""
    stdin = asyncio.StreamReader(sys.stdin.buffer)
    while await stdin.read(16):
        pass
    app.stop()
