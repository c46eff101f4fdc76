"""From the settings to the `App`; in memory only until there is one."""

import json
import sys

from egiz_edge import boot_loop, settings_check
from egiz_edge.app import App
from egiz_edge.downlink import unload
from egiz_edge.settings import Settings


def load(directory, data, count, reset_reason):
    """The `App` of a board, after `count` boots in a row that were not confirmed.

    None where no device could run with the settings; the console then says so.
    """
    path = directory + "/settings.json"
    reason = settings_check.unusable(path)
    if reason is not None:
        print("settings.json: %s; replace it: egiz-edge deploy --settings" % reason)
        return None
    board = _board(directory)
    if board.reset_cause() == "power_on":
        count = 0
        boot_loop.write(data, 1)
    with open(path) as file:
        settings = Settings(json.load(file))
    app = App(board, settings, print, reset_reason, count >= boot_loop.PLAIN)
    unload(("egiz_edge.startup",))
    return app


def _board(directory):
    if sys.platform == "esp32":
        from egiz_edge.ports.esp32 import Board  # noqa: PLC0415  # the one that is there

        return Board()
    from egiz_edge.ports.virtual import Board  # noqa: PLC0415  # as above

    return Board(directory)
