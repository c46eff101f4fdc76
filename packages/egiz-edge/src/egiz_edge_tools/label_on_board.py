"""Runs on a board: prints its label, which is made if there is none.

On the board, so that no key is an argument of a program, which others on the host see.
"""

import os

from esp32 import NVS
from machine import unique_id

_KEY = "label"
_SYMBOLS = "abcdefghijkmnpqrstuvwxyz23456789"  # 32; not those that look like another


def _made():
    """Name, key and PIN of a board: see docs/device/provisioning.md."""
    key = "".join([_SYMBOLS[byte & 31] for byte in os.urandom(12)])
    pin = int.from_bytes(os.urandom(6), "big") % 1000000
    return "egiz-%s %s %06d" % (unique_id().hex()[-4:], key, pin)


def _label():
    store, text = NVS("egiz"), bytearray(99)
    try:
        return str(text[: store.get_blob(_KEY, text)], "utf-8")
    except OSError:  # there is none
        made = _made()
        store.set_blob(_KEY, made.encode())
        store.commit()
        return made
    finally:
        open("/label", "w").close()  # main.py looks for it: there is a label


print("label " + _label())
