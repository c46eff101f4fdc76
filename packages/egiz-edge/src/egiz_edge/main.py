"""The program of a board: `main(directory)` runs what boot_loop.py decides.

On the virtual board it ends when stdin ends. It prints a line for a person to read
whenever something changes, and at the end one line of JSON: how many messages of each
kind the broker has acknowledged.
"""

import asyncio
import gc
import json
import os
import sys

from egiz_edge import boot_loop, discard

_IS_VIRTUAL = sys.platform != "esp32"


def main(directory):
    """Run the board with the flash `directory`: it holds settings.json and `data`."""
    data = directory + "/data"
    count, reset_reason = boot_loop.read(data)
    names = os.listdir(directory or "/")
    is_for_portal = (
        reset_reason.startswith(boot_loop.PORTAL)
        or boot_loop.ERASE in names
        or "settings.json" not in names
    )
    del names  # else it would be there as long as the app runs
    if not is_for_portal:
        _update(directory, data)
    if reset_reason == boot_loop.NETWORK:
        count = max(0, count - 1)
    if count >= boot_loop.SAFE and not is_for_portal:
        from egiz_edge import safe_mode  # noqa: PLC0415  # nothing else is loaded then

        safe_mode.main(directory, data, count, reset_reason)
    try:
        if is_for_portal:
            gc.threshold(8192)  # as below
            from egiz_edge.portal import boot  # noqa: PLC0415  # in a boot of its own

            boot.run(directory, reset_reason, _IS_VIRTUAL and _stop_at_end_of_input)
            return
        boot_loop.write(data, count + 1)
        asyncio.run(_run(directory, data, count, reset_reason))
        boot_loop.write(data, 0)
    except Exception as error:
        sys.print_exception(error)
        boot_loop.note_reset(data, "crash: %r" % error)
        from machine import reset  # noqa: PLC0415  # most boots need none

        reset()


def _update(directory, data):
    """Run the updater instead, if that is ordered: it shares no memory with the app."""
    try:
        os.stat(data + "/ota")
    except OSError:
        return
    try:
        from egiz_edge.ota import boot  # noqa: PLC0415  # few boots have an order

        boot.run(directory, data)
    except Exception as error:  # it does not load, or the flash cannot count the tries
        sys.print_exception(error)  # the app runs, and ends the order


def load(directory, data, count, reset_reason):
    """The `App` of a board, or None: see startup.py."""
    # Before the modules are loaded: they would lie between garbage, in a heap of holes.
    gc.threshold(8192)  # bytes
    # Imported here: a module that does not load is a crash like any other.
    from egiz_edge import startup  # noqa: PLC0415  # see above

    app = startup.load(directory, data, count, reset_reason)
    discard("startup")
    return app


async def _run(directory, data, count, reset_reason):
    # Loaded here: what an earlier call leaves on the stack would stay there under the
    # loop, and the modules of the startup with it.
    app = load(directory, data, count, reset_reason)
    if app is None:
        return
    watch = asyncio.create_task(_stop_at_end_of_input(app)) if _IS_VIRTUAL else None
    await app.run()
    if app.uplink.state != "offline":
        app.reset("reboot: update")
    if watch:
        watch.cancel()
    totals = {
        "device_id": app.settings.device_id,
        "acked": app.uplink.acked,
        "unacked": len(app.outbox),
    }
    print(json.dumps(totals))


async def _stop_at_end_of_input(app):
    """The host closes our stdin to stop us, also when it dies."""
    stdin = asyncio.StreamReader(sys.stdin.buffer)
    while await stdin.read(16):
        pass
    app.stop()
