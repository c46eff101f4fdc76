"""`egiz-edge deploy`: a bundle onto a board, over a cable.

Files that the board has already, by their SHA-256, are not copied. The others are
staged beside the firmware, which stays whole until all have arrived and are right; then
each is put in its place by a rename. What an interrupted deploy has staged is not
copied again.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from egiz_edge_tools.bundle import MANIFEST, BundledFile, Manifest, load
from egiz_edge_tools.errors import PortError
from egiz_edge_tools.identity import files_of
from egiz_edge_tools.remote import MAKE_ROOM, ON_BOARD, BoardState, Remote

_STAGE = "/.deploy"
_SETTINGS = "/settings.json"
# littlefs keeps a pair of blocks for a directory: the stage, lib, and three within.
_BLOCKS_FOR_DIRECTORIES = 10

Show = Callable[[str], None]


def deploy(directory: Path, port: str, settings: Path | None, show: Show) -> None:
    """Bring the bundle in `directory` onto the board at `port`, and start it.

    Args:
        directory: of a bundle.
        port: a serial port.
        settings: a file that becomes the device's settings.json; None leaves its own.
        show: called with each line of progress.

    Raises:
        BundleError: if the bundle is damaged.
        PortError: if the board cannot be reached, cannot run the bundle or has no room.
    """
    manifest = load(directory)
    if settings is not None:
        files_of(settings)  # before anything is changed
    remote = Remote(port)
    show(f"{port}: stopping the firmware to see what is there")
    board = remote.look()
    show(f"{board.machine}, MicroPython {board.version}")
    _check(port, manifest, board)
    if settings is not None:
        _send_settings(remote, settings, board, show)
    elif _SETTINGS not in board.hashes:
        show("the board has no settings yet; --settings FILE gives it some")
    absent = absent_from(board, manifest)
    show(f"{len(absent)} files to copy, {len(manifest.files) - len(absent)} are there")
    if _is_complete(directory, manifest, board):
        remote.restart()
    else:
        _check_room(port, absent, board)
        _Copy(remote, directory, absent, show).run()
    show(
        f"restarted, with firmware {manifest.firmware_version}; see it with"
        f" `egiz-edge monitor --port {port}`"
    )


def _send_settings(remote: Remote, path: Path, board: BoardState, show: Show) -> None:
    """First the files that the settings name, then the settings, by a rename."""
    for file in files_of(path):  # mpremote does not copy what is the same
        remote.run(("fs", "cp", str(file), f":/{file.name}"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if board.hashes.get(_SETTINGS) == digest:
        show("its settings are these already")
        return
    rename = f"import os; os.rename('{_SETTINGS}.new', '{_SETTINGS}')"
    copy = ("fs", "cp", "-f", str(path), f":{_SETTINGS}.new")
    remote.run(copy, ("exec", rename))
    show("its settings are new")


def absent_from(board: BoardState, manifest: Manifest) -> list[BundledFile]:
    """The files of a bundle that a board has neither in place nor staged."""
    return [file for file in manifest.files if not _is_there(file, board)]


def room_for(absent: list[BundledFile], board: BoardState) -> int:
    """Bytes of flash that these files need beside what is there."""
    if not absent:
        return 0
    blocks = sum(-(-file.size // board.block) for file in absent)
    return (blocks + _BLOCKS_FOR_DIRECTORIES) * board.block


class _Copy:
    """One session: prepare, copy what is absent, commit, restart."""

    def __init__(
        self, remote: Remote, directory: Path, absent: list[BundledFile], show: Show
    ) -> None:
        self._remote = remote
        self._directory = directory
        self._absent = absent
        self._show = show
        self._begun = 0

    def run(self) -> None:
        copies = [
            ("fs", "cp", "-f", str(self._directory / path), f":{_staged(path)}")
            for path in (*(file.path for file in self._absent), MANIFEST)
        ]
        before = (("run", str(ON_BOARD)), ("exec", "prepare()"))
        after = (("exec", "commit()"), ("reset",))
        try:
            self._remote.run(*before, *copies, *after, on_line=self._show_copy)
        except PortError as error:
            fix = f"{error.fix}\n  {self._progress()}"
            raise PortError(error.port, error.cause, fix) from None

    def _progress(self) -> str:
        total = len(self._absent)
        if self._begun > total:
            return (
                "All files had arrived; another deploy shows whether they are in use."
            )
        return (
            f"{max(0, self._begun - 1)} of {total} files had arrived and will not be"
            " copied again; the old firmware is as it was."
        )

    def _show_copy(self, line: str) -> None:
        """Show the file that mpremote begins to copy."""
        if not line.startswith("cp "):
            return
        self._begun += 1
        if self._begun > len(self._absent):
            self._show("checking, then putting all in their places")
            return
        file = self._absent[self._begun - 1]
        self._show(
            f"{self._begun:3}/{len(self._absent)}  {file.path}  {file.size:,} bytes"
        )


def _check(port: str, manifest: Manifest, board: BoardState) -> None:
    if not manifest.runs_on(board.mpy):
        raise PortError(
            port,
            f"its MicroPython {board.version} cannot load this bundle: it reads .mpy"
            f" version {board.mpy & 0xFF}, the bundle has {manifest.mpy[0]} for"
            f" {manifest.arch}",
            "Flash MicroPython 1.23 or newer, or build for its chip with --arch.",
        )


def _check_room(port: str, absent: list[BundledFile], board: BoardState) -> None:
    needed = room_for(absent, board)
    if needed > board.free:
        raise PortError(
            port,
            f"not enough room: {board.free // 1024} KB are free on its flash,"
            f" {needed // 1024} KB are needed",
            MAKE_ROOM.format(port=port),
        )


def _is_there(file: BundledFile, board: BoardState) -> bool:
    places = ("/" + file.path, _staged(file.path))
    return file.sha256 in {board.hashes.get(place) for place in places}


def _is_complete(directory: Path, manifest: Manifest, board: BoardState) -> bool:
    """Whether the board holds the bundle, all of it in place and nothing else."""
    wanted = {"/" + file.path: file.sha256 for file in manifest.files}
    digest = hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()
    held = {path: sha for path, sha in board.hashes.items() if path != _SETTINGS}
    return held == wanted | {"/" + MANIFEST: digest}


def _staged(path: str) -> str:
    """Where a file waits on the board; `on_board.py` looks there."""
    return f"{_STAGE}/{path.replace('/', '~')}"
