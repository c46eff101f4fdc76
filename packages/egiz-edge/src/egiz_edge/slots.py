"""Slots: two versions of the firmware, in /a and /b, and the record of which one runs.

The record is the file /slot: "<run> <trial> <left> <word>". `run` is the slot that
runs, a or b. `trial` is the other one while it is on trial, else "-". `left` is how
many boots the trial has left, 0 to 3. `word` says, in words, how it came to that. A
slot is whole if it has the file `release`, which is written last and removed first.

The selector, egiz_edge_boot/main.py, obeys the record. It counts a trial before it
loads it; without boots left, or if the trial does not load, `run` runs again.
"""

import os
import sys

TRIES = 3
# Words of the record: the selector's, and how a trial and a deploy ended.
ROLLED_BACK, CONFIRMED, BY_CABLE = "rolled back: ", "confirmed", "by cable"
_MAX = 500  # characters; of a reason, more would not be reported
_SOUND = ("a -", "b -", "a b", "b a")


def read(directory):
    """(run, trial, left, word) of a flash; None if it has no sound record."""
    try:
        with open(directory + "/slot") as file:
            parts = file.read(_MAX).split(" ", 3)
        run, trial, left = parts[:3]
    except (OSError, ValueError):
        return None
    if run + " " + trial not in _SOUND or left not in ("0", "1", "2", "3"):
        return None
    return run, trial, int(left), parts[3] if len(parts) == 4 else ""


def write(directory, run, trial="-", left=0, word=""):
    """Replace the record at once: at a power cut the old or the new one is there."""
    path = directory + "/slot"
    with open(path + ".new", "w") as file:
        file.write("%s %s %d %s" % (run, trial, left, word))
    os.rename(path + ".new", path)


def confirm(directory):
    """The slot on trial has proven itself: it is the one that runs from now on."""
    record = read(directory)
    if record and record[1] != "-":
        write(directory, record[1], word=CONFIRMED)


def restore(directory):
    """A reset that a person orders is no try of a trial: the next boot costs none."""
    record = read(directory)
    if record and record[1] != "-":
        run, trial, left, word = record
        try:
            write(directory, run, trial, min(left + 1, TRIES), word)
        except OSError:
            pass  # a full flash must not keep a reset away


def is_on_trial(directory):
    """Whether what runs is on trial: the selector ends one before it runs the other."""
    record = read(directory)
    return record is not None and record[1] != "-"


def running():
    """The slot from which this program was loaded, whatever the record says."""
    return sys.path[0][1:]


def other():
    """The slot that does not run."""
    return "b" if running() == "a" else "a"


def spoil(directory):
    """What failed on trial is no version that a command, or a crash, may bring back."""
    try:
        os.remove("%s/%s/release" % (directory, other()))
    except OSError:
        pass  # it is not there
