"""What a session says of settings that have proved themselves: that they are stored."""

import asyncio
import json
import os
import sys

import _flash
import egiz_edge
from _board import Store
from _ticks import Ticks
from egiz_edge import boot_loop
from egiz_edge.portal import session, way_back

session.print = lambda *_: None  # what a test prints is its result
DIRECTORY = _flash.directory()
PATH = DIRECTORY + "/settings.json"
OLD = {"wifi_ssid": "Old", "facility": "bakery", "device_id": "oven-001"}
NEW = {"wifi_ssid": "New", "facility": "bakery", "device_id": "oven-001"}


class Board:
    """Its own access point and Wi-Fi."""

    data_directory = DIRECTORY + "/data"

    def __init__(self):
        self.store = Store()
        self.wifi = self
        self.radio = None  # what a question of the radio raises

    def reset_cause(self):
        return "power_on"

    def access_point(self):
        return self

    def clients(self):
        if self.radio:
            raise self.radio
        return 1

    def configure(self, ssid, password):
        pass


class Label:
    pin = "123456"


class _Reach:
    """`egiz_edge.reach`: the settings lead to the broker, after these errors."""

    def __init__(self, *errors):
        self.errors = list(errors)

    async def problem(self, _board, _settings):
        if self.errors:
            raise self.errors.pop(0)


class _Hasty:
    """`asyncio`, without the second in which a phone gets its answer."""

    Lock = asyncio.Lock

    def create_task(self, coroutine):
        return asyncio.create_task(coroutine)

    async def sleep(self, _s):
        pass


class _Full:
    """`json`, on a flash that is full after the first bytes."""

    def load(self, file):
        return json.load(file)

    def dump(self, _settings, file):
        file.write('{"wifi_ssid": ')
        raise OSError(28)


async def _trial(tried):
    tried.begin_trial(dict(NEW))
    for _ in range(10):
        await asyncio.sleep(0)


def _tried(board, write=boot_loop.write, reach=None):
    """(the session after a trial that leads to the broker, the settings in flash)."""
    with open(PATH, "w") as file:
        json.dump(OLD, file)
    egiz_edge.reach = sys.modules["egiz_edge.reach"] = reach or _Reach()
    tried = session.Session(board, Label, PATH, False)
    real, boot_loop.write = (boot_loop.write, session.unload), write
    session.unload = lambda *_: None  # a second import would be of the real one
    try:
        asyncio.run(_trial(tried))
    finally:
        boot_loop.write, session.unload = real
        session.unload("reach")
    with open(PATH) as file:
        return tried, json.load(file)


def _raising(error):
    def write(*_):
        raise error

    return write


def test_what_the_memory_was_not_enough_for_is_tried_once_more():
    tried, found = _tried(Board(), reach=_Reach(MemoryError()))
    assert (found, tried.state, tried.reason) == (NEW, "done", None)
    tried, found = _tried(Board(), reach=_Reach(MemoryError(), MemoryError()))
    assert (found, tried.state, tried.reason) == (OLD, "form", "no_broker")


def test_what_fails_once_they_are_stored_does_not_make_them_not_stored():
    for error in (MemoryError(), OSError(28), ValueError("text")):
        tried, found = _tried(Board(), _raising(error))
        assert (found, tried.state, tried.reason) == (NEW, "done", None), error


def test_a_radio_that_fails_then_does_not_either():
    board = Board()
    board.radio = OSError("Wi-Fi Unknown Error 0x3001")
    tried, found = _tried(board)
    assert (found, tried.state, tried.reason) == (NEW, "done", None)


def test_settings_that_cannot_be_stored_leave_the_old_ones_and_the_form_says_so():
    os.mkdir(PATH + ".new")
    os.mkdir(PATH + ".new/full")  # MicroPython removes an empty one as a file
    try:
        tried, found = _tried(Board())
    finally:
        os.rmdir(PATH + ".new/full")
        os.rmdir(PATH + ".new")
    assert (found, tried.state, tried.reason) == (OLD, "form", "not_stored")


def test_no_part_of_settings_that_the_flash_has_no_room_for_stays_on_it():
    session.json = _Full()
    try:
        tried, found = _tried(Board())
    finally:
        session.json = json
    assert (found, tried.state, tried.reason) == (OLD, "form", "not_stored")
    assert "settings.json.new" not in os.listdir(DIRECTORY)


def test_a_store_that_fails_leaves_the_old_ones_too():
    for error in (OSError("ESP_ERR_NVS_NOT_ENOUGH_SPACE"), MemoryError()):
        board = Board()
        board.store.put = _raising(error)
        tried, found = _tried(board)
        assert (found, tried.state, tried.reason) == (OLD, "form", "not_stored"), error


session.asyncio = _Hasty()
session.time = way_back.time = Ticks()
for path in (DIRECTORY, DIRECTORY + "/data"):
    try:
        os.mkdir(path)
    except OSError:
        pass  # it is there
