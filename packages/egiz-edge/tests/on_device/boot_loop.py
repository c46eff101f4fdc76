"""The boot-loop ladder's memory."""

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


def test_it_counts_and_keeps_a_word():
    path = _fresh()
    assert boot_loop.read(path) == (0, "")
    boot_loop.write(path, 3)
    assert boot_loop.read(path) == (3, "")
    boot_loop.leave(path, "watchdog: sampling stalled")
    assert boot_loop.read(path) == (3, "watchdog: sampling stalled")
    boot_loop.write(path, 0)
    assert boot_loop.read(path) == (0, "")


def test_nothing_that_is_wrong_with_the_flash_fails_a_boot():
    path = _fresh()
    with open(path + "/boots", "w") as file:
        file.write("rubbish")
    assert boot_loop.read(path) == (0, "")
    boot_loop.write(path + "/nowhere", 1)
    assert boot_loop.read(path + "/nowhere") == (0, "")
