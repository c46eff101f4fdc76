"""The files of a release into a slot; in memory only while they are brought."""

import hashlib
import os
from binascii import hexlify

from egiz_edge import unload
from egiz_edge.ota.fetch import AnswerError

_CHUNK = 512
_LINE_MAX = 144  # bytes, as in release.py


class Bringing:
    """The files of a release into a slot.

    Args:
        slot: its directory.
        signed: of a release; it was verified, and each entry checked.
        watchdog: of the board.
    """

    def __init__(self, slot, signed, watchdog):
        self._slot = slot
        self._signed = signed
        self._watchdog = watchdog

    async def run(self, come):
        """Bring each file that is not there, and read all of them back.

        The slot is not whole from here on.

        Args:
            come: a coroutine function: it gives bytes of the release, from one on, so
                many, to a function.
        """
        self._clean()
        at = self._signed.end
        for path, size, digest in self._entries():
            self._watchdog.feed()
            if sha256(self._slot + "/" + path) != digest:
                await self._bring(come, at, path, size, digest)
            at += size
        self._read_back()

    def _clean(self):
        from egiz_edge.ota import files  # noqa: PLC0415  # not kept

        files.remove(self._slot + "/release")
        named = {files.mark(path) for path, _, _ in self._entries()}
        named.add(files.mark("release.new"))
        files.remove_strangers(self._slot, named)
        del files
        unload("ota.files", "ota")

    async def _bring(self, come, at, path, size, digest):
        make_directories(self._slot + "/" + path)
        found = hashlib.sha256()
        with open(self._slot + "/" + path, "wb") as file:

            def put(piece):
                found.update(piece)
                file.write(piece)

            await come(at, size, put)
        if hexlify(found.digest()) != digest:
            raise AnswerError("damaged %s" % path)  # it may have been on its way

    def _read_back(self):
        """Every file, from the flash."""
        for path, _, digest in self._entries():
            self._watchdog.feed()
            if sha256(self._slot + "/" + path) != digest:
                raise AnswerError("damaged %s" % path)

    def _entries(self):
        """As `Release.entries`, which is not in memory any more."""
        is_head = True
        for _, text in self._signed.lines(_LINE_MAX):
            if is_head:
                is_head = bool(text)
            else:
                path, size, digest = text.split(" ")
                yield path, int(size), digest.encode()


def sha256(path):
    """Of a file, in hexadecimal bytes; None if it is not there."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    try:
        with open(path, "rb") as file:
            while True:
                count = file.readinto(buffer)
                if not count:
                    return hexlify(digest.digest())
                digest.update(buffer[:count])
    except OSError:
        return None


def make_directories(path):
    """All that are above a path."""
    parts = path.split("/")[:-1]
    for depth in range(2, len(parts) + 1):
        try:
            os.mkdir("/".join(parts[:depth]))
        except OSError:
            pass  # it is there, or what is written there says so
