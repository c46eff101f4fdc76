"""Runs on a board: keeps the root key's modulus, and then the key set that came."""

import os

from esp32 import NVS

_KEY = "root"


def put_root(modulus):
    """Keep it, unless it is there."""
    store, text = NVS("egiz"), bytearray(1024)
    try:
        is_there = str(text[: store.get_blob(_KEY, text)], "utf-8") == modulus
    except OSError:  # there is none
        is_there = False
    if not is_there:
        store.set_blob(_KEY, modulus.encode())
        store.commit()
    print("root key: %s" % ("as before" if is_there else "new"))


def use_set():
    """The set that has arrived is the one that counts."""
    os.rename("/keys.new", "/keys")
