"""A release: what a board needs to know before it writes a byte, and each file.

    egz1 KEY BYTES-OF-SIGNATURE BYTES-OF-MANIFEST
    (signature)egiz 1
    version 0.2.0
    security 0
    target esp32
    mpy 6 0
    boot 1
    keys 1

    egiz_edge/app.mpy 4711 SHA-256
    (the files, one after another)

Lines of names that are not known here may stand before the empty line.
"""

import hashlib
from binascii import hexlify

from egiz_edge.ota.signed import (
    NUMBER_MAX,
    RELEASE,
    KeyRefused,
    Refused,
    Signed,
    feed,
    number,
)

FORMAT = 1
BOOT = 1  # the selector's number that a release of today needs
FILE_MAX = 262144  # bytes
FILES_MAX = 256
PATH_MAX = 64
VERSION_MAX = 32
_HEAD_LINES_MAX = 24
_LINE_MAX = 144  # bytes: path, size, SHA-256
_PACKAGES = ("egiz_edge", "egiz_schema")
_NAMES = ("egiz", "version", "security", "target", "mpy", "boot", "keys")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
_BLOCKS_OF_DIRECTORY = 2  # littlefs keeps a pair


class Release:
    """A release with a sound manifest, signed unless nothing was asked for.

    Attributes:
        version, target: text.
        security, boot, keys: numbers; `keys` is the lowest number of a key set.
        mpy: (version of the bytecode, architecture of native code or 0).
        count, size: files, and their bytes.
        start: where the first file begins.

    Args:
        file: binary, at its start; it stays open while this is used.
        keys: a `KeySet`, or None where whoever holds the cable needs no signature.
        signed: the `Signed` of this file, if these keys have verified it already.

    Raises:
        Refused: with the reason.
    """

    def __init__(self, file, keys, signed=None):
        self._file = file
        self._signed = signed or Signed(file, RELEASE)
        self.start = self._signed.end
        if keys is not None and signed is None:
            self._signed.check(keys.moduli)
        self._read_head()
        if keys is not None and self.keys > keys.number:
            raise KeyRefused("needs key set %d, not %d" % (self.keys, keys.number))
        self.count = self.size = 0
        for _, size, _ in self.entries():
            self.count += 1
            self.size += size
        if not 0 < self.count <= FILES_MAX:
            raise Refused("%d files" % self.count)

    @property
    def key(self):
        """The id of the key that is named, or `-`."""
        return self._signed.key

    def check_board(self, target, mpy, boot, security):
        """Raises Refused where a board cannot run it.

        Args:
            target: its sys.platform.
            mpy: its sys.implementation._mpy.
            boot: the number of its selector.
            security: the lowest security number that it still runs.
        """
        if self.target != target:
            raise Refused("for %s, not %s" % (self.target, target))
        bytecode, native = self.mpy
        if bytecode != mpy & 0xFF or native not in (0, mpy >> 8 & 0xFF):
            raise Refused("needs .mpy %d %d" % self.mpy)
        if self.boot > boot:
            raise Refused("needs selector %d, not %d" % (self.boot, boot))
        if self.security < security:
            raise Refused("security %d, below %d" % (self.security, security))

    def check_room(self, free, block):
        """Raises Refused where a slot has not enough room.

        Args:
            free: bytes, with those of the slot's files that are there.
            block: bytes of a block of flash.
        """
        directories = {"": _BLOCKS_OF_DIRECTORY}  # the slot itself
        blocks = -(-self.start // block)
        for path, size, _ in self.entries():
            directories[path[: path.rfind("/")]] = _BLOCKS_OF_DIRECTORY
            blocks += -(-size // block)
        needed = (blocks + sum(directories.values())) * block
        if needed > free:
            raise Refused("no room: needs %d KB, has %d" % (needed >> 10, free >> 10))

    def check_files(self):
        """Raises Refused unless the files follow as the manifest says, and no more."""
        at = self.start
        for path, size, digest in self.entries():
            self._file.seek(at)
            check_file(self._file, path, size, digest)
            at += size
        self._file.seek(at)
        if self._file.read(1):
            raise Refused("too long")

    def entries(self):
        """Each file as (path in the slot, bytes, SHA-256 in hexadecimal bytes)."""
        is_head, last = True, ""
        for line, text in self._signed.lines(_LINE_MAX):
            if is_head:
                is_head = bool(text)
                continue
            path, size, digest = _entry(line, text)
            if path <= last:  # twice the same, or out of order
                raise Refused("line %d is damaged" % line)
            last = path
            yield path, size, digest

    def _read_head(self):
        found = {}
        for line, text in self._signed.lines(_LINE_MAX):
            if not text:
                break
            name, _, value = text.partition(" ")
            expected = _NAMES[line - 1] if line <= len(_NAMES) else name
            if name != expected or line > _HEAD_LINES_MAX:
                raise Refused("line %d is damaged" % line)
            found[name] = value
        if found.get("egiz") != str(FORMAT):
            raise Refused("another format, not egiz %d" % FORMAT)
        try:
            self._set(found)
        except (KeyError, ValueError):
            raise Refused("manifest is damaged")

    def _set(self, found):
        self.version = found["version"]
        self.target = found["target"]
        self.security = number(found["security"], NUMBER_MAX)
        bytecode, native = found["mpy"].split(" ")
        self.mpy = number(bytecode, 255), number(native, 255)
        self.boot = number(found["boot"], NUMBER_MAX)
        self.keys = number(found["keys"], NUMBER_MAX)
        if not is_version(self.version) or not _is_word(self.target, 1, 16):
            raise ValueError


def is_version(text):
    """Whether a release may have this version, which is the name of its file, too."""
    letters = _LETTERS.replace("_", "")
    rest = text.replace(".", "").replace("-", "").replace("+", "")
    return (
        _is_word(text[:1], 1, 1)
        and _is_word(rest, 1, VERSION_MAX, letters)
        and (len(text) <= VERSION_MAX)
    )


def check_file(file, path, size, digest, put=None):
    """Read a file of a release, which comes next; give its pieces to `put`.

    Raises:
        Refused: if it is damaged or not all there.
    """
    found = hashlib.sha256()

    def use(piece):
        found.update(piece)
        if put:
            put(piece)

    feed(file, size, use)
    if hexlify(found.digest()) != digest:
        raise Refused("damaged %s" % path)


def is_path(text):
    """Whether a slot may hold such a file: within a package of ours, and no way out."""
    parts = text.split("/")
    name, dot, ending = parts[-1].partition(".")
    return (
        len(text) <= PATH_MAX
        and len(parts) > 1
        and parts[0] in _PACKAGES
        and all(_is_word(part, 1, PATH_MAX) for part in parts[:-1])
        and _is_word(name, 1, PATH_MAX)
        and dot == "."
        and _is_word(ending, 1, 4)
    )


def _entry(line, text):
    try:
        path, size, digest = text.split(" ")
        size = number(size, FILE_MAX)
    except ValueError:
        raise Refused("line %d is damaged" % line)
    if not is_path(path):
        raise Refused("line %d: no file of a slot" % line)
    if not _is_word(digest, 64, 64, "0123456789abcdef"):
        raise Refused("line %d is damaged" % line)
    return path, size, digest.encode()


def _is_word(text, least, most, letters=_LETTERS):
    return least <= len(text) <= most and all(char in letters for char in text)
