"""The boot-loop ladder: what to run after how many boots in a row that did not settle.

A boot settles once the device has run well for a minute, or was asked to stop. Power
that comes and goes is no fault of the firmware: main.py begins at the foot again after
a power-on. The rung for the previous version of the firmware (after an update) belongs
between the two that are here, and an update is confirmed where a boot settles.

A file keeps the count, and a word on why the next boot will come about: the chip knows
a watchdog from a power-on, but not one reboot from another. This module imports nothing
of the app, and nothing that it does can fail a boot.
"""

import os

PLAIN = 3  # unsettled boots until the app runs without what its config topic told
SAFE = 5  # and until it does not run at all

_FILE = "/boots"


def read(directory):
    """How many boots before this one did not settle, and the word that was left."""
    try:
        with open(directory + _FILE) as file:
            count, _, word = file.read().partition(" ")
            return int(count), word
    except (OSError, ValueError):
        return 0, ""


def write(directory, count, word=""):
    """Count `count` boots from now on; before anything that may crash."""
    path = directory + _FILE
    try:
        with open(path + ".new", "w") as file:
            file.write("%d %s" % (count, word))
        os.rename(path + ".new", path)
    except OSError:
        pass  # a full or broken flash must not keep the device from running


def leave(directory, word):
    """A reset is coming; `word` says why."""
    write(directory, read(directory)[0], word)
