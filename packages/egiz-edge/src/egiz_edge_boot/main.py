"""The selector, main.py of a board: loads the firmware in slot /a or /b; runs it."""

import gc
import os
import sys

from machine import WDT


def _read(path):
    try:
        with open(path) as file:
            return file.read(500)
    except (OSError, ValueError):
        return ""


def _write(path, *words):
    try:
        with open(path + ".new", "w") as file:
            file.write(" ".join(words))
        os.rename(path + ".new", path)
    except OSError:
        return False
    return True


def _load():
    run, trial, left, word = (_read("/slot").split(" ", 3) + [""] * 3)[:4]
    slots, reason = [run, "b" if run == "a" else "a"], ""
    if run + " " + trial not in ("a -", "b -", "a b", "b a") or left not in set("0123"):
        slots, trial, reason = ["a", "b"], "-", "no record"
    elif trial != "-":
        if left != "0" and _write("/slot", run, trial, str(int(left) - 1), word):
            slots = [trial, run]
        else:
            reason = _read("/data/boots").partition(" ")[2] or "not confirmed"
    for slot in slots:
        sys.path[:] = ["/" + slot, ".frozen", "/lib"]
        try:
            os.stat("/%s/release" % slot)  # written last: the slot is whole
            from egiz_edge.main import main  # of this slot
        except Exception as error:
            reason = reason or "%s does not load: %r" % (slot, error)
            for name in [name for name in sys.modules if name.startswith("egiz_")]:
                del sys.modules[name]
            gc.collect()
            continue
        if reason:  # the crashes until now were not this slot's
            _write("/data/boots", "0", reason)
            word = reason if trial == "-" else "rolled back: " + reason
            _write("/slot", slot, "-", "0", word)
        return main
    raise ImportError(reason)


if {"settings.json", "label"} & set(os.listdir("/")):
    try:
        WDT(timeout=60000)  # before anything of a slot is loaded
        _load()("")
    except Exception as _error:
        print("the firmware does not run: %r; egiz-edge deploy" % _error)
else:
    print("no settings yet: egiz-edge deploy --settings FILE")
