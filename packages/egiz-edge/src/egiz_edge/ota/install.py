"""The updater: a boot of its own, which brings a release into the other slot.

What runs stays as it is until the release is there, verified and read back; then the
record puts it on trial. No file of the other slot is touched before the signature, and
all that the manifest says of this board, were checked.
"""

import asyncio
import hashlib
import os
import sys
from binascii import hexlify

from egiz_edge import boot_loop
from egiz_edge.ota import files
from egiz_edge.ota.fetch import AnswerError
from egiz_edge.ota.signed import LINE_MAX, RELEASE, KeyRefused, Refused, first_line
from egiz_edge.ota.source import (
    attempt,
    board_of,
    download_of,
    newer_keys,
    read_keys,
    release_of,
    settings_of,
)

TOTAL_MS = 300000  # then the app runs again
_SKIP_MAX = 4096  # bytes that are read and dropped before a new request is made
_MARGIN = 16384  # bytes of flash that stay free


def main(directory, wanted):
    """Run it for an order, and keep how that ended; gives the next reset's cause."""
    board = board_of(directory)
    try:
        asyncio.run(_Update(directory, board, wanted).run())
    except Refused as error:
        _end(board, "refused", wanted["version"], str(error))
    except OSError as error:
        _end(board, "failed", wanted["version"], str(error))
    return "reboot: update"


def _end(board, state, version, error):
    from egiz_edge.ota import order  # noqa: PLC0415  # at the end there is room for it

    order.end(board, state, version, error)


class _Update:
    def __init__(self, directory, board, wanted):
        self._directory = directory
        self._board = board
        self._wanted = wanted
        self._runs = sys.path[0][1:]  # as `slots.running`
        self._other = "b" if self._runs == "a" else "a"
        self._slot = directory + "/" + self._other
        self._keys = self._settings = self._download = None
        self._has_head = False

    async def run(self):
        """Bring the release, and put it on trial; raises Refused or OSError."""
        self._settings = settings_of(self._directory)
        self._keys = read_keys(self._directory, self._board.store)
        files.make_directories(self._slot + "/release")
        # What has come stays, so each try goes on.
        await attempt(self._board, self._settings, self._fetch, TOTAL_MS)
        self._switch()

    async def _fetch(self):
        new = self._slot + "/release.new"
        if int(self._wanted.get("keys", "0")) > self._keys.number:
            await self._renew_keys(int(self._wanted["keys"]))
        try:
            if not self._has_head:
                await self._go_to(0)
                await self._bring_head(new)
            with open(new, "rb") as file:
                release = await self._verified(file)
                self._check(release)
                self._has_head = True  # so it is not fetched again in this boot
                await self._bring_files(release)
                self._read_back(release)
        except AnswerError:
            self._has_head = False  # the server may have another file now
            raise
        finally:
            await self._leave()
        os.rename(new, self._slot + "/release")

    async def _go_to(self, at):
        """Have the byte `at` come next; a few that come before it are let pass."""
        if self._download is None or at - self._download.at > _SKIP_MAX:
            await self._leave()
            self._download = download_of(self._board, self._settings)
            await self._download.open(release_of(self._wanted), at)
        await self._copy(at - self._download.at, lambda _: None)

    async def _leave(self):
        download, self._download = self._download, None
        if download is not None:
            await download.close()

    def _check_size(self, release):
        """Raises AnswerError where the server's file is not as long as it must be."""
        size = self._download and self._download.size
        whole = release.start + release.size
        if size is not None and size != whole:
            raise AnswerError("too long" if size > whole else "cut short")

    async def _verified(self, file):
        """The `Release`; a key that is not known may be in a newer set."""
        # Only now: whoever looks up a name and begins with TLS needs memory as well.
        from egiz_edge.ota.release import Release  # noqa: PLC0415

        try:
            return Release(file, self._keys)
        except KeyRefused as error:
            reason = error
        try:
            await self._renew_keys(self._keys.number + 1)
        except Refused:  # there is no newer one
            raise reason
        file.seek(0)
        return Release(file, self._keys)

    async def _renew_keys(self, least):
        parts = (self._board, self._directory, self._wanted["url"], self._settings)
        self._keys = await newer_keys(*parts, least)

    async def _bring_head(self, new):
        """Line, signature and manifest."""
        line = b""
        while line[-1:] != b"\n" and len(line) < LINE_MAX:
            piece = bytes(await self._download.read(1))
            if not piece:
                break
            line += piece
        _, signature, manifest = first_line(line, RELEASE)
        with open(new, "wb") as file:
            file.write(line)
            await self._copy(signature + manifest, file.write)

    async def _copy(self, size, put):
        while size:
            piece = await self._download.read(min(size, 512))
            if not piece:
                raise AnswerError("cut short")
            put(piece)
            size -= len(piece)

    def _check(self, release):
        """Raises Refused for what this board cannot run, or was not ordered."""
        from egiz_edge.ota.release import BOOT  # noqa: PLC0415  # as above

        if release.version != self._wanted["version"]:
            raise Refused("it is version %s" % release.version)
        floor = int(self._board.store.get("floor") or 0)
        mpy = getattr(sys.implementation, "_mpy", 0)
        release.check_board(sys.platform, mpy, BOOT, floor)
        room = os.statvfs(self._directory + "/")
        free = room[3] + files.blocks_in(self._slot, room[0])
        release.check_room(free * room[0] - _MARGIN, room[0])
        self._check_size(release)

    async def _bring_files(self, release):
        """Each file that is not there; the slot is not whole from here on."""
        files.remove(self._slot + "/release")
        named = {files.mark(path) for path, _, _ in release.entries()}
        named.add(files.mark("release.new"))
        files.remove_strangers(self._slot, named)
        at = release.start
        for path, size, digest in release.entries():
            self._board.watchdog.feed()
            if files.sha256(self._slot + "/" + path) != digest:
                await self._go_to(at)
                self._check_size(release)
                await self._bring_file(path, size, digest)
            at += size

    async def _bring_file(self, path, size, digest):
        files.make_directories(self._slot + "/" + path)
        found = hashlib.sha256()
        with open(self._slot + "/" + path, "wb") as file:

            def put(piece):
                found.update(piece)
                file.write(piece)

            await self._copy(size, put)
        if hexlify(found.digest()) != digest:
            raise AnswerError("damaged %s" % path)  # it may have been on its way

    def _read_back(self, release):
        """Every file, from the flash."""
        for path, _, digest in release.entries():
            self._board.watchdog.feed()
            if files.sha256(self._slot + "/" + path) != digest:
                raise AnswerError("damaged %s" % path)

    def _switch(self):
        from egiz_edge import slots  # noqa: PLC0415  # as in `_end`
        from egiz_edge.ota import order  # noqa: PLC0415  # as above

        order.keep(self._board.store, "trial", self._wanted["version"])
        data = self._board.data_directory
        boot_loop.write(data, 0, "reboot: update")  # no crashes of the other version
        slots.write(self._directory, self._runs, self._other, slots.TRIES, "by order")
