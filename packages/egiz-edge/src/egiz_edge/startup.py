"""From the settings to the `App`; in memory only until there is one."""

import json
import sys

from egiz_edge import boot_loop, unload, unload_rules


def load(directory, data, count, reset_reason):
    """The `App` of a board, after `count` boots in a row that were not confirmed.

    None where no device could run with the settings; the console then says so.
    """
    settings = _settings(directory + "/settings.json")
    # Before the app is loaded: there is no memory for both.
    unload("settings_check", "effective_settings")
    unload_rules()
    if settings is None:
        return None
    board = board_in(directory)
    if board.reset_cause() == "power_on":
        count = 0
        boot_loop.write(data, 1)
    from egiz_edge import assembly  # noqa: PLC0415  # see above

    app = assembly.assembled(board, settings, reset_reason, count >= boot_loop.PLAIN)
    del assembly
    unload("startup", "assembly", "processing")
    unload_rules()
    return app


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
