"""Boot-loop detection: what to run after how many boots in a row were not confirmed.

A boot is confirmed when the device has run well for a minute, or was ordered to stop.
A power failure is no error of the firmware: main.py counts from zero after a power-on.
Nor is what a network does: a reset because of it is not counted.
The step for the previous version of the firmware (after an update) belongs between the
two that are here, and an update is confirmed where a boot is confirmed.

A file keeps the count, and the reason of the coming reset: the chip distinguishes a
watchdog from a power-on, but not one reboot from another. This module imports nothing
of the app, and no error in it makes a boot fail.
"""

import os

NETWORK = "watchdog: network stalled"  # the reason of a reset that is not counted
PORTAL = "portal: "  # begins the reason of a reset after which the portal opens
ERASE = "erase"  # a file beside the settings: a factory reset, see portal/erase.py
PLAIN = 3  # unconfirmed boots until the app runs without what its config topic set
SAFE = 5  # unconfirmed boots until safe mode runs and not the app

_FILE = "/boots"
_MAX = 500  # characters; of a reason, more would not be reported


def read(directory):
    """How many boots in a row were not confirmed, and the reason of the last reset."""
    try:
        with open(directory + _FILE) as file:
            count, _, reset_reason = file.read(_MAX).partition(" ")
            count = int(count)
    except (OSError, ValueError):
        return 0, ""
    return (count, reset_reason) if 0 <= count <= SAFE else (0, "")


def write(directory, count, reset_reason=""):
    """Count `count` boots from now on; called before anything that may crash."""
    path = directory + _FILE
    try:
        with open(path + ".new", "w") as file:
            file.write("%d %s" % (count, reset_reason))
        os.rename(path + ".new", path)
    except OSError:
        pass  # a full or broken flash must not keep the device from running


def note_reset(directory, reset_reason):
    """A reset is coming, and this is its reason; the count stays."""
    write(directory, read(directory)[0], reset_reason)
