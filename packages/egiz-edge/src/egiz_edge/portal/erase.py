"""The factory reset: it erases what makes this board a device of this factory.

Label, keys of releases, floor, slots and the count of boots stay; so do wrong PINs, and
the ids of commands: one that the broker sends again must not erase new settings.

An empty file orders it. Once all else is erased, the settings themselves take its place
by a rename: so a boot after a power cut goes on, and never erases settings that came
after it.
"""

import os

from egiz_edge import boot_loop

_IN_STORE = ("config", "settings_crc", "joined", "last_command", "addresses", "unused")


def run(directory, board, log):
    """Erase what is in the flash `directory`."""
    data = board.data_directory
    ordered = directory + "/" + boot_loop.ERASE
    if os.stat(ordered)[6] == 0:
        for key in _IN_STORE:
            board.store.delete(key)
        names = os.listdir(directory or "/")
        for path in _erased(directory, names, data):
            try:
                _remove(path)
            except OSError as error:  # else this order would reset the board for ever
                log("factory reset: %s stays: %r" % (path, error))
        if "settings.json" in names:
            os.rename(directory + "/settings.json", ordered)
    os.remove(ordered)
    log("factory reset: settings, configuration and waiting messages are erased")


def _erased(directory, names, data):
    """The paths of all but the settings."""
    try:
        found = [data + "/" + name for name in os.listdir(data) if name != "boots"]
    except OSError:  # no directory
        found = [data]
    for name in names:
        if name.endswith(".der") or name == "settings.json.new":
            found.append(directory + "/" + name)
    return found


def _remove(path):
    """A file, or a directory with what is in it."""
    try:
        names = os.listdir(path)
    except OSError:  # a file
        names = ()
    for name in names:
        _remove(path + "/" + name)
    try:
        os.remove(path)
    except OSError:
        os.rmdir(path)
