"""Runs on the board, at its prompt, sent there by mpremote: look, prepare, commit.

A file that arrives is kept in STAGE until all are there and right. Then each gets its
name by a rename, which littlefs does at once or not at all.
"""

import errno
import gc
import hashlib
import json
import os
import sys

STAGE = "/.deploy"
OURS = ("/lib/egiz_edge", "/lib/egiz_schema")
AT_ROOT = ("boot.py", "main.py", "manifest.json", "settings.json")
BUFFER = memoryview(bytearray(512))
_DIRECTORY = 0x4000
_WATCHDOG_MS = 600000


def look():
    """Print what the board is, as JSON, and a line for each file: path and SHA-256."""
    room = os.statvfs("/")
    state = {
        "machine": getattr(sys.implementation, "_machine", sys.platform),
        "version": ".".join(str(n) for n in sys.implementation[1][:3]),
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "block": room[0],
        "free": room[0] * room[3],
    }
    print(json.dumps(state))
    for directory in OURS:
        print_hashes(files_in(directory))
    print_hashes(files_in(STAGE))
    print_hashes("/" + name for name in os.listdir("/") if name in AT_ROOT)


def print_hashes(paths):
    """Print paths with their hashes, one by one: the heap is small."""
    for path in paths:
        print(path, sha256(path))


def prepare():
    """Make the stage, and keep the firmware's watchdog from ending a long copy.

    The watchdog cannot be stopped, only its timeout be changed. So a board that is left
    at its prompt restarts by itself.
    """
    if STAGE[1:] not in os.listdir("/"):
        os.mkdir(STAGE)
    try:
        from machine import WDT  # noqa: PLC0415, TID251  # the ESP32 has it
    except ImportError:
        return
    WDT(timeout=_WATCHDOG_MS)


def commit():
    """Check every file of the staged manifest, then put all of them in their places."""
    with open(STAGE + "/manifest.json") as file:
        wanted = {"/" + f["path"]: f["sha256"] for f in json.load(file)["files"]}
    staged = os.listdir(STAGE)
    arrived = [path for path in wanted if staged_name(path) in staged]
    for path, digest in wanted.items():
        where = STAGE + "/" + staged_name(path) if path in arrived else path
        if sha256(where) != digest:
            raise ValueError("damaged in transfer: " + path)
    for path in arrived:
        make_directories(path)
    for path in arrived:
        os.rename(STAGE + "/" + staged_name(path), path)
    os.rename(STAGE + "/manifest.json", "/manifest.json")
    for directory in OURS:
        for path in files_in(directory):
            if path not in wanted:  # a .py would be imported before an .mpy
                os.remove(path)
    for path in files_in(STAGE):
        os.remove(path)
    os.rmdir(STAGE)


def staged_name(path):
    """Where a file waits: one directory for all."""
    return path[1:].replace("/", "~")


def make_directories(path):
    """All that are above `path`."""
    above = path.split("/")[1:-1]
    for depth in range(1, len(above) + 1):
        try:
            os.mkdir("/" + "/".join(above[:depth]))
        except OSError as error:
            if error.args[0] != errno.EEXIST:
                raise


def files_in(directory):
    """Paths of all files in a directory and below; none if it is not there."""
    try:
        entries = list(os.ilistdir(directory))
    except OSError:
        return []
    found = []
    for entry in entries:
        path = directory + "/" + entry[0]
        found += files_in(path) if entry[1] & _DIRECTORY else [path]
    return found


def sha256(path):
    """In hex, or None if there is no such file."""
    gc.collect()  # against a fragmented heap
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while True:
                length = file.readinto(BUFFER)
                if not length:
                    return digest.digest().hex()
                digest.update(BUFFER[:length])
    except OSError:
        return None
