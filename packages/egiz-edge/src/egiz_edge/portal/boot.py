"""A boot into the portal: what it erases first, and how it ends."""

import asyncio
import os

from egiz_edge import boot_loop, portal, unload

_CAUSE = "reboot: portal"
_ASKED = (boot_loop.PORTAL + "button", boot_loop.PORTAL + "command")


def run(directory, reset_reason, stopper):
    """Open the portal of a board that has a label, and boot it again when it is over.

    Args:
        directory: its flash.
        reset_reason: what boot_loop.py has kept of the boot before.
        stopper: a coroutine function that stops the `Session`, or False.
    """
    board, label = _board_and_label(directory)
    has_settings = "settings.json" in os.listdir(directory or "/")
    if has_settings:  # from now on a power cut has the app run again
        boot_loop.write(board.data_directory, 0, "watchdog: portal")
    if label is not None:
        from egiz_edge.portal.session import Session  # noqa: PLC0415  # after what is gone

        path = directory + "/settings.json"
        opened = Session(board, label, path, reset_reason in _ASKED)
        if not asyncio.run(_until_over(opened, stopper)):
            return
    elif not has_settings:
        print("no settings yet: egiz-edge deploy --settings FILE")
        return
    elif reset_reason == boot_loop.PORTAL + "settings":
        # The file that says there is one is older than an erased store. Without it the
        # app would reset the board into its portal again, for ever.
        print("the label is lost, so no portal opens: egiz-edge label")
        return
    boot_loop.write(board.data_directory, 0, _CAUSE)
    if reset_reason in _ASKED:
        from egiz_edge import slots  # noqa: PLC0415  # few portals are asked for

        slots.restore(directory)
    board.reboot()


def _board_and_label(directory):
    """After the factory reset, if one is ordered; the modules are not kept."""
    from egiz_edge import startup  # noqa: PLC0415  # as the next ones
    from egiz_edge.portal import label  # noqa: PLC0415  # as above

    board = startup.board_in(directory)
    if boot_loop.ERASE in os.listdir(directory or "/"):
        from egiz_edge.portal import erase  # noqa: PLC0415  # as above

        boot_loop.write(board.data_directory, 0, "reboot: factory_reset")
        erase.run(directory, board, print)
        del portal.erase
    found = label.read(board.store)
    del portal.label
    unload("startup", "portal.erase", "portal.label")
    return board, found


async def _until_over(opened, stopper):
    stopping = asyncio.create_task(stopper(opened)) if stopper else None
    is_over = await opened.run()
    if stopping:
        stopping.cancel()
    return is_over
