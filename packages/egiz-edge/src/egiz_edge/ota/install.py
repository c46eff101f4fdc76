"""The updater: a boot of its own, which brings a release into the other slot.

What runs stays as it is until the release is there, verified and read back; then the
record puts it on trial. No file of the other slot is touched before the signature, and
all that the manifest says of this board, were checked.
"""

import asyncio
import os
import sys

from egiz_edge import boot_loop, unload
from egiz_edge.ota.fetch import AnswerError
from egiz_edge.ota.signed import (
    LINE_MAX,
    RELEASE,
    KeyRefused,
    Refused,
    Signed,
    first_line,
)
from egiz_edge.ota.source import attempt, download_of, release_of

TOTAL_MS = 300000  # then the app runs again
_SKIP_MAX = 4096  # bytes that are read and dropped before a new request is made
_MARGIN = 16384  # bytes of flash that stay free


def main(directory, wanted):
    """Run it for an order, and keep how that ended; gives the next reset's cause."""
    from egiz_edge.ota import provisioned  # noqa: PLC0415  # not kept

    board = provisioned.board_of(directory)
    try:
        settings = provisioned.settings_of(directory)
        keys = provisioned.read_keys(directory, board.store)
        del provisioned
        unload("ota.provisioned", "ota")
        asyncio.run(_Update(directory, board, wanted, settings, keys).run())
    except Refused as error:
        _end(board, "refused", wanted["version"], str(error))
    except OSError as error:
        _end(board, "failed", wanted["version"], str(error))
    return "reboot: update"


def _end(board, state, version, error):
    from egiz_edge.ota import order  # noqa: PLC0415  # at the end there is room for it

    order.end(board, state, version, error)


class _Update:
    def __init__(self, directory, board, wanted, settings, keys):
        self._directory = directory
        self._board = board
        self._wanted = wanted
        self._settings = settings
        self._keys = keys
        self._runs = sys.path[0][1:]  # as `slots.running`
        self._other = "b" if self._runs == "a" else "a"
        self._slot = directory + "/" + self._other
        self._download = None
        self._size = 0  # of the whole release
        self._has_head = False

    async def run(self):
        """Bring the release, and put it on trial; raises Refused or OSError."""
        try:
            os.mkdir(self._slot)
        except OSError:
            pass  # it is there, or what is written there says so
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
                signed = await self._verify(file)
                self._has_head = True  # so it is not fetched again in this boot
                # Only now: what verifies needs the memory.
                from egiz_edge.ota import bringing  # noqa: PLC0415  # not kept

                parts = (self._slot, signed, self._board.watchdog)
                await bringing.Bringing(*parts).run(self._come)
        except AnswerError:
            self._has_head = False  # the server may have another file now
            raise
        finally:
            await self._leave()
            unload("ota.bringing", "ota")
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

    def _check_size(self):
        """Raises AnswerError where the server's file is not as long as it must be."""
        size = self._download and self._download.size
        if size is not None and size != self._size:
            raise AnswerError("too long" if size > self._size else "cut short")

    async def _verify(self, file):
        """Check a head; a key that is not known may be in a newer set.

        Gives its `Signed`.
        """
        try:
            return self._check(file)
        except KeyRefused as error:
            try:
                await self._renew_keys(self._keys.number + 1)
            except Refused:  # there is no newer one
                raise error
            return self._check(file)

    async def _renew_keys(self, least):
        from egiz_edge.ota import provisioned  # noqa: PLC0415  # as in `main`

        parts = (self._board, self._directory, self._wanted["url"], self._settings)
        try:
            self._keys = await provisioned.newer_keys(*parts, least)
        finally:
            del provisioned
            unload("ota.provisioned", "ota")

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

    def _check(self, file):
        """Raises Refused for what this board cannot run, or was not ordered."""
        # One after the other, as there is no memory for all that they need.
        file.seek(0)
        signed = Signed(file, RELEASE)
        signed.check(self._keys.moduli)
        free, block = self._room()
        from egiz_edge.ota import release  # noqa: PLC0415  # not kept

        try:
            found = release.Release(file, self._keys, signed)
            if found.version != self._wanted["version"]:
                raise Refused("it is version %s" % found.version)
            floor = int(self._board.store.get("floor") or 0)
            mpy = getattr(sys.implementation, "_mpy", 0)
            found.check_board(sys.platform, mpy, release.BOOT, floor)
            found.check_room(free, block)
            self._size = found.start + found.size
        finally:
            del release
            unload("ota.release", "ota")
        self._check_size()
        return signed

    def _room(self):
        """Bytes for the slot, with those of its files; bytes of a block."""
        from egiz_edge.ota import files  # noqa: PLC0415  # not kept

        room = os.statvfs(self._directory + "/")
        free = room[3] + files.blocks_in(self._slot, room[0])
        del files
        unload("ota.files", "ota")
        return free * room[0] - _MARGIN, room[0]

    async def _come(self, at, size, put):
        """Give a part of the release to `put`; raises AnswerError if some lacks."""
        await self._go_to(at)
        self._check_size()
        await self._copy(size, put)

    def _switch(self):
        from egiz_edge import slots  # noqa: PLC0415  # as in `_end`
        from egiz_edge.ota import order  # noqa: PLC0415  # as above

        order.keep(self._board.store, "trial", self._wanted["version"])
        data = self._board.data_directory
        boot_loop.write(data, 0, "reboot: update")  # no crashes of the other version
        slots.write(self._directory, self._runs, self._other, slots.TRIES, "by order")
