"""Runs on the board, at its prompt, sent there by mpremote: look, begin, commit.

What arrives goes into the slot that does not run. It gets its file `release`, which
makes it whole, when all files are there and right; then the record names it.
"""

import errno
import gc
import hashlib
import json
import os
import sys

SLOTS = ("/a", "/b")
OLD = ("/lib/egiz_edge", "/lib/egiz_schema", "/.deploy")  # of before there were slots
AT_ROOT = ("boot.py", "main.py", "manifest.json", "settings.json", "keys")
BUFFER = memoryview(bytearray(512))
_RELEASE = ("/release", "/release.new")  # of a slot
_DIRECTORY = 0x4000
_WATCHDOG_MS = 600000
_CRASHES = "/data/boots"  # of the version before: the next one has none


def look():
    """Print what the board is, as JSON, and a line for each file: path and SHA-256."""
    room = os.statvfs("/")
    state = {
        "machine": getattr(sys.implementation, "_machine", sys.platform),
        "version": ".".join(str(n) for n in sys.implementation[1][:3]),
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "target": sys.platform,
        "runs": running(),
        "block": room[0],
        "free": room[0] * room[3],
    }
    print(json.dumps(state))
    for directory in SLOTS + OLD:
        print_hashes(files_in(directory))
    print_hashes("/" + name for name in os.listdir("/") if name in AT_ROOT)


def running():
    """The slot that runs, as the selector chooses it; without a trial. "" for none."""
    try:
        with open("/slot") as file:
            slot = "/" + file.read(1)
    except OSError:
        slot = ""
    whole = [one for one in SLOTS if exists(one + "/release")]
    return slot if slot in whole else (whole + [""])[0]  # noqa: RUF005  # not there


def exists(path):
    """Whether there is such a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def print_hashes(paths):
    """Print paths with their hashes, one by one: the heap is small."""
    for path in paths:
        print(path, sha256(path))


def begin(slot):
    """Make the slot's directory, and keep the watchdog from ending a long copy.

    The watchdog cannot be stopped, only its timeout be changed. So a board that is left
    at its prompt restarts by itself.
    """
    make_directories(slot + "/release")
    try:
        from machine import WDT  # noqa: PLC0415, TID251  # the ESP32 has it
    except ImportError:
        return
    WDT(timeout=_WATCHDOG_MS)


def gather(slot):
    """Make the slot's directories, and copy what the board has elsewhere.

    A slot in which something changes is not whole until `commit`.
    """
    wanted = entries(slot)
    wrong = [p for p in wanted if sha256(slot + "/" + p) != wanted[p]]
    if wrong or sha256(slot + "/release") != sha256(slot + "/release.new"):
        remove(slot + "/release")
    for path in files_in(slot):  # a .py would be imported before an .mpy
        if path[len(slot) + 1 :] not in wanted and path[len(slot) :] not in _RELEASE:
            os.remove(path)
    remove_empty(slot)
    for path in wrong:
        make_directories(slot + "/" + path)
        for other in SLOTS + ("/lib",):  # noqa: RUF005  # not there
            if sha256(other + "/" + path) == wanted[path]:
                copy(other + "/" + path, slot + "/" + path)
                break


def commit(slot, release, selector):
    """Check each file of the slot, and have it run from the next boot on.

    Args:
        slot: its directory.
        release: SHA-256 of its file of that name.
        selector: SHA-256 of main.py.
    """
    manifest = slot + "/release.new"
    check(manifest, release)
    for path, digest in entries(slot).items():
        check(slot + "/" + path, digest)
    if sha256("/main.py") != selector:
        check("/main.py.new", selector)
    os.rename(manifest, slot + "/release")
    remove(_CRASHES)
    with open("/slot.new", "w") as file:
        file.write("%s - 0 by cable" % slot[1:])
    os.rename("/slot.new", "/slot")
    if sha256("/main.py") != selector:
        os.rename("/main.py.new", "/main.py")
    for directory in OLD:
        remove_tree(directory)
    remove("/manifest.json")


def entries(slot):
    """Path in the slot -> SHA-256, as the manifest that has arrived says."""
    found, is_head = {}, True
    with open(slot + "/release.new", "rb") as file:
        parts = file.readline().split(b" ")
        file.seek(int(parts[2]), 1)  # the signature
        for line in file:
            if is_head:
                is_head = line != b"\n"
                continue
            path, _, digest = line.decode().split()
            found[path] = digest
    return found


def check(path, digest):
    """Raise ValueError unless a file has this SHA-256."""
    if sha256(path) != digest:
        raise ValueError("damaged in transfer: " + path)


def copy(path, to):
    """Copy a file."""
    with open(path, "rb") as source, open(to, "wb") as target:
        while True:
            length = source.readinto(BUFFER)
            if not length:
                return
            target.write(BUFFER[:length])


def remove(path):
    """Remove a file, if there is one."""
    try:
        os.remove(path)
    except OSError:
        pass


def remove_tree(directory):
    """Remove a directory with all that is in it, if there is one."""
    try:
        there = list(os.ilistdir(directory))
    except OSError:
        return
    for entry in there:
        path = directory + "/" + entry[0]
        if entry[1] & _DIRECTORY:
            remove_tree(path)
        else:
            os.remove(path)
    os.rmdir(directory)


def remove_empty(directory):
    """Directories without a file: each has two blocks."""
    for entry in list(os.ilistdir(directory)):
        if entry[1] & _DIRECTORY:
            path = directory + "/" + entry[0]
            remove_empty(path)
            try:
                os.rmdir(path)
            except OSError:
                pass  # it has files


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
