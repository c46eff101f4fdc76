"""From the settings to the `App`; in memory only until there is one."""

import json
import os
import sys

from egiz_edge import boot_loop, discard, unload_rules


def load(directory, data, count, reset_reason):
    """The `App` of a board, after `count` boots in a row that were not confirmed.

    None where no device could run with the settings; the console then says so, and a
    board that has a label opens its portal.
    """
    settings = _settings(directory + "/settings.json")
    # Before the app is loaded: there is no memory for both.
    discard("settings_check", "effective_settings")
    unload_rules()
    if settings is None:
        _open_portal(directory, data)
        return None
    board = board_in(directory)
    if board.reset_cause() == "power_on":
        count = 0
        boot_loop.write(data, 1)
    from egiz_edge import assembly  # noqa: PLC0415  # see above

    app = assembly.assembled(board, settings, reset_reason, count >= boot_loop.PLAIN)
    del assembly
    discard("assembly", "processing")
    unload_rules()
    return app


def _open_portal(directory, data):
    """Reset into it; without a label there is none."""
    if "label" in os.listdir(directory or "/"):
        boot_loop.write(data, 0, boot_loop.PORTAL + "settings")
        from machine import reset  # noqa: PLC0415  # no port is loaded, as in main.py

        reset()


def _settings(path):
    """The `Settings` in a file, or None."""
    from egiz_edge import settings_check  # noqa: PLC0415  # see `load`
    from egiz_edge.settings import Settings  # noqa: PLC0415  # it uses it

    reason = settings_check.unusable(path)
    if reason is not None:
        print("settings.json: %s; replace it: egiz-edge deploy --settings" % reason)
        return None
    with open(path) as file:
        return Settings(json.load(file))


def board_in(directory):
    """The `Board` with the flash `directory`."""
    if sys.platform == "esp32":
        from egiz_edge.ports.esp32 import Board  # noqa: PLC0415  # the one that is there

        return Board()
    from egiz_edge.ports.virtual import Board  # noqa: PLC0415  # as above

    return Board(directory)
