"""Power failures while the form is saved: the old settings are there, or the new ones.

MicroPython only: CPython has no littlefs.
"""

import json
import os
import sys

import _flash
from _board import Store
from egiz_edge import boot_loop
from egiz_edge.portal.session import commit

PATH = "/flash/settings.json"
OLD = {"wifi_ssid": "Old", "facility": "bakery", "device_id": "oven-001"}
NEW = {"wifi_ssid": "New", "facility": "bakery", "device_id": "oven-007"}


class Board:
    data_directory = "/flash/data"

    def __init__(self):
        self.store = Store()


def _found():
    """What a boot finds: all settings, or None where there are none."""
    if "settings.json" not in os.listdir("/flash"):
        return None
    with open(PATH) as file:
        return json.load(file)  # half a file would be no JSON


def _cut_at(operation, old, new):
    """The settings after a cut there, and after saving them again; None if too late."""
    flash = _flash.Flash(512, 32)
    _flash.mount(flash, is_new=True)
    os.mkdir("/flash/data")
    board = Board()
    if old is not None:
        commit(board, PATH, old)
    flash.until_cut = operation
    try:
        commit(board, PATH, new)
    except OSError:
        pass  # the flash is dead
    _flash.unmount()
    if not flash.is_dead:
        return None
    _flash.mount(flash.revived())
    found = _found()
    count, _ = boot_loop.read("/flash/data")
    assert count == 0
    commit(board, PATH, new)
    assert _found() == new
    assert sorted(os.listdir("/flash")) == ["data", "settings.json"]
    _flash.unmount()
    for one in (old, new):  # so that equal ones are there once
        if found == one:
            return one or "none"
    return found or "none"


def _all_cuts(old, new):
    found, operation = [], 1
    result = _cut_at(operation, old, new)
    while result is not None:
        found.append(result)
        operation += 1
        result = _cut_at(operation, old, new)
    return found


def _check(found, old, new):
    """Up to some operation the old ones, and from there on the new ones."""
    assert old in found
    assert new in found
    first = found.index(new)
    assert [one == old for one in found[:first]] == [True] * first
    assert [one == new for one in found[first:]] == [True] * (len(found) - first)
    assert len(found) > 4


def test_after_each_cut_the_settings_are_the_old_or_the_new_whole():
    if sys.implementation.name == "micropython":
        _check(_all_cuts(OLD, NEW), OLD, NEW)


def test_after_each_cut_a_new_board_has_all_settings_or_none():
    if sys.implementation.name == "micropython":
        _check(_all_cuts(None, NEW), "none", NEW)


def test_the_same_is_so_of_settings_that_fill_several_blocks():
    if sys.implementation.name == "micropython":
        old, new = dict(OLD), dict(NEW)
        old["zones"] = ["28ff641e8016044c"] * 32
        new["zones"] = ["28ff641e8016044d"] * 32
        _check(_all_cuts(old, new), old, new)
