"""The factory reset: what goes, what stays, and power cuts in it."""

import os
import sys

import _flash
from _board import Log, Store
from egiz_edge.portal import erase, ordered

LABEL = "egiz-ab12 abcdefghjkmn 123456"
KEPT = {"label": LABEL, "root": "1", "floor": "2", "boot": "7", "command_ids": "[1]"}
GONE = {"config": "x", "joined": "Factory", "last_command": "{}", "addresses": "[]"}
GONE["settings_crc"] = "1"
FILES = ("settings.json", "ca.der", "key.der", "settings.json.new")
DATA = ("config.json", "ota", "outbox/1.seg", "outbox/2.seg")


class Board:
    def __init__(self, directory):
        self.store = Store()
        self.store.texts.update(KEPT)
        self.store.texts.update(GONE)
        self.data_directory = directory + "/data"


def _write(path, text="old"):
    with open(path, "w") as file:
        file.write(text)


def _provisioned(directory):
    """A board in use."""
    for name in ("data", "data/outbox", "a"):
        os.mkdir(directory + "/" + name)
    for name in FILES + ("keys", "slot", "a/release", "data/boots"):
        _write(directory + "/" + name)
    for name in DATA:
        _write(directory + "/data/" + name)
    return Board(directory)


def _there(directory):
    return sorted(os.listdir(directory))


def _is_ordered(directory):
    return "erase" in os.listdir(directory)


def _directory():
    if sys.implementation.name == "micropython":
        _flash.mount(_flash.Flash(512, 96), is_new=True)
        return "/flash"
    import tempfile  # not there on the device

    return tempfile.mkdtemp()


def test_settings_and_data_go_and_label_keys_slots_and_counters_stay():
    directory = _directory()
    board = _provisioned(directory)
    assert not _is_ordered(directory)
    assert ordered.accept(board, "factory_reset", "x") == "reboot: factory_reset"
    assert _is_ordered(directory)
    erase.run(directory, board, Log())
    assert not _is_ordered(directory)
    assert _there(directory) == ["a", "data", "keys", "slot"]
    assert _there(board.data_directory) == ["boots"]
    assert board.store.texts == KEPT
    if sys.implementation.name == "micropython":
        _flash.unmount()


class _Worn:
    """The flash cannot remove one of the files."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        return getattr(os, name)

    def remove(self, path):
        if path.endswith(self._name):
            raise OSError(5)
        os.remove(path)

    rmdir = remove


def test_a_file_that_cannot_be_removed_is_said_and_the_rest_goes():
    directory = _directory()
    board = _provisioned(directory)
    ordered.accept(board, "factory_reset", "x")
    log = Log()
    erase.os = _Worn("key.der")
    try:
        erase.run(directory, board, log)
    finally:
        erase.os = os
    assert not _is_ordered(directory)
    assert _there(directory) == ["a", "data", "key.der", "keys", "slot"]
    assert any("key.der stays: " in line for line in log.lines)
    if sys.implementation.name == "micropython":
        _flash.unmount()


def test_a_board_without_a_label_obeys_neither():
    directory = _directory()
    board = _provisioned(directory)
    board.store.texts.pop("label")
    assert ordered.accept(board, "portal", "x") is None
    assert ordered.accept(board, "factory_reset", "x") is None
    assert not _is_ordered(directory)
    if sys.implementation.name == "micropython":
        _flash.unmount()


def _cut_at(operation):
    """A power cut at an operation of flash; whether the work was over before it."""
    flash = _flash.Flash(512, 96)
    _flash.mount(flash, is_new=True)
    board = _provisioned("/flash")
    ordered.accept(board, "factory_reset", "x")
    flash.until_cut = operation
    try:
        erase.run("/flash", board, Log())
    except OSError:
        pass  # the flash is dead
    _flash.unmount()
    is_over = not flash.is_dead
    _flash.mount(flash.revived())
    if "settings.json" not in _there("/flash"):
        _write("/flash/settings.json", "new")  # a cable brings them, at once
    if _is_ordered("/flash"):
        erase.run("/flash", board, Log())
    left = [name for name in _there("/flash") if name.startswith("settings")]
    if left:
        with open("/flash/settings.json") as file:
            assert (left, file.read()) == (["settings.json"], "new")
    assert _there("/flash/data") == ["boots"]
    assert not [name for name in _there("/flash") if name.endswith(".der")]
    _flash.unmount()
    return is_over


def test_after_a_power_cut_it_goes_on_and_spares_newer_settings():
    if sys.implementation.name != "micropython":
        return
    operation = 1
    while not _cut_at(operation):
        operation += 1
    assert operation > 10
