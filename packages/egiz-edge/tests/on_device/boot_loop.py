"""What boot-loop detection keeps over a reset."""

import os

import _flash
from egiz_edge import boot_loop

_PATH = _flash.directory()


def _fresh():
    try:
        os.mkdir(_PATH)
    except OSError:
        pass
    for name in os.listdir(_PATH):
        os.remove(_PATH + "/" + name)
    return _PATH


def test_it_keeps_the_count_and_the_reset_reason():
    path = _fresh()
    assert boot_loop.read(path) == (0, "")
    boot_loop.write(path, 3)
    assert boot_loop.read(path) == (3, "")
    boot_loop.note_reset(path, "watchdog: sampling stalled")
    assert boot_loop.read(path) == (3, "watchdog: sampling stalled")
    boot_loop.write(path, 0)
    assert boot_loop.read(path) == (0, "")


def test_a_damaged_flash_does_not_make_a_boot_fail():
    path = _fresh()
    for rubbish in (b"rubbish", b"", b"\0" * 9, b"\xff" * 9, b"-3 x", b"99999 x", b"6"):
        with open(path + "/boots", "wb") as file:
            file.write(rubbish)
        assert boot_loop.read(path) == (0, "")
    boot_loop.write(path + "/nowhere", 1)
    assert boot_loop.read(path + "/nowhere") == (0, "")
