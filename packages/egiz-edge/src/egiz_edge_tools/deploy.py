"""`egiz-edge deploy`: a bundle onto a board, over a cable.

It goes into the slot that does not run, so what runs stays whole. Files that the board
has already, by their SHA-256, are not copied: nor those of an interrupted deploy.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from egiz_edge_tools.bundle import RELEASE, Bundle, BundledFile, load
from egiz_edge_tools.errors import PortError
from egiz_edge_tools.identity import files_of
from egiz_edge_tools.remote import MAKE_ROOM, ON_BOARD, BoardState, Remote
from egiz_edge_tools.send_keys import public_keys, send_keys

_SETTINGS = "/settings.json"
_MAIN = "/main.py"
_OLD = "/lib"  # where the firmware was before there were slots
# littlefs keeps a pair of blocks for a directory: the slot, and two within.
_BLOCKS_FOR_DIRECTORIES = 6

Show = Callable[[str], None]


def deploy(
    directory: Path,
    port: str,
    settings: Path | None,
    keys: Path | None,
    show: Show,
) -> None:
    """Bring the bundle in `directory` onto the board at `port`, and start it.

    Args:
        directory: of a bundle.
        port: a serial port.
        settings: a file that becomes the device's settings.json; None leaves its own.
        keys: a directory with key set and root key's modulus; None leaves its own.
        show: called with each line of progress.

    Raises:
        BundleError: if the bundle is damaged.
        ReleaseError: if the keys are.
        PortError: if the board cannot be reached, cannot run the bundle or has no room.
    """
    bundle = load(directory)
    if settings is not None:
        files_of(settings)  # before anything is changed
    public = None if keys is None else public_keys(keys)
    remote = Remote(port, show)
    show(f"{port}: stopping the firmware to see what is there")
    board = remote.look()
    show(f"{board.machine}, MicroPython {board.version}")
    _check(port, bundle, board)
    if settings is not None:
        _send_settings(remote, settings, board, show)
    elif _SETTINGS not in board.hashes:
        show("the board has no settings yet; --settings FILE gives it some")
    if public is not None:
        send_keys(remote, public, show)
    _bring(remote, bundle, board, show)
    show(
        f"restarted, with firmware {bundle.version}; see it with"
        f" `egiz-edge monitor --port {port}`"
    )


def _bring(remote: Remote, bundle: Bundle, board: BoardState, show: Show) -> None:
    plan = plan_of(bundle, board)
    there = len(bundle.files) - len(plan.absent)
    show(f"{len(plan.absent)} files to copy, {there} are there")
    if plan.is_complete:
        remote.restart()
        return
    if plan.room > board.free:
        raise PortError(
            remote.port,
            f"not enough room: {board.free // 1024} KB are free on its flash,"
            f" {plan.room // 1024} KB are needed",
            MAKE_ROOM.format(port=remote.port),
        )
    show(f"they go into slot {plan.slot}; what runs stays whole until all are there")
    _Copy(remote, bundle, plan, show).run()


class Plan(msgspec.Struct, frozen=True):
    """What a deploy has to do.

    Attributes:
        slot: where it goes, as a path on the board.
        absent: files that the board has nowhere.
        room: bytes of flash that are needed beside what is there.
        has_selector: whether main.py is this one already.
        is_complete: whether the board has all of it in place, and nothing old.
    """

    slot: str
    absent: tuple[BundledFile, ...]
    room: int
    has_selector: bool
    is_complete: bool


def plan_of(bundle: Bundle, board: BoardState) -> Plan:
    """What a deploy of a bundle has to do on a board."""
    is_whole = bool(board.runs) and _held(board, board.runs) == _wanted(bundle)
    slot = board.runs if is_whole else "/b" if board.runs == "/a" else "/a"
    new = [file for file in bundle.files if not _is_in(file, board, (slot,))]
    blocks = sum(-(-file.size // board.block) for file in new)
    has_selector = board.hashes.get(_MAIN) == sha256(bundle.selector)
    has_old = any(path.startswith(_OLD) for path in board.hashes)
    return Plan(
        slot,
        tuple(file for file in new if not _is_in(file, board, ("/a", "/b", _OLD))),
        (blocks + _BLOCKS_FOR_DIRECTORIES) * board.block if new else 0,
        has_selector,
        is_whole and has_selector and not has_old,
    )


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wanted(bundle: Bundle) -> dict[str, str]:
    """Path in the slot -> SHA-256."""
    wanted = {file.path: file.sha256 for file in bundle.files}
    return wanted | {RELEASE: sha256(bundle.release)}


def _held(board: BoardState, slot: str) -> dict[str, str]:
    return {
        path.removeprefix(slot + "/"): digest
        for path, digest in board.hashes.items()
        if path.startswith(slot + "/")
    }


def _is_in(file: BundledFile, board: BoardState, places: Sequence[str]) -> bool:
    found = [board.hashes.get(f"{place}/{file.path}") for place in places]
    return file.sha256 in found


def _send_settings(remote: Remote, path: Path, board: BoardState, show: Show) -> None:
    """First the files that the settings name, then the settings, by a rename."""
    for file in files_of(path):  # mpremote does not copy what is the same
        remote.run(("fs", "cp", str(file), f":/{file.name}"))
    if board.hashes.get(_SETTINGS) == sha256(path):
        show("its settings are these already")
        return
    rename = f"import os; os.rename('{_SETTINGS}.new', '{_SETTINGS}')"
    copy = ("fs", "cp", "-f", str(path), f":{_SETTINGS}.new")
    remote.run(copy, ("exec", rename))
    show("its settings are new")


class _Copy:
    """One session: begin, copy what is absent, commit, restart."""

    def __init__(self, remote: Remote, bundle: Bundle, plan: Plan, show: Show) -> None:
        self._remote = remote
        self._bundle = bundle
        self._plan = plan
        self._show = show
        self._begun = -1  # the first that is copied is the manifest

    def run(self) -> None:
        slot, bundle = self._plan.slot, self._bundle
        copies = [
            _copy_of(bundle.slot / file.path, f"{slot}/{file.path}")
            for file in self._plan.absent
        ]
        if not self._plan.has_selector:
            copies.append(_copy_of(bundle.selector, f"{_MAIN}.new"))
        hashes = f"{sha256(bundle.release)!r}, {sha256(bundle.selector)!r}"
        try:
            self._remote.run(
                ("run", str(ON_BOARD)),
                ("exec", f"begin({slot!r})"),
                _copy_of(bundle.release, f"{slot}/{RELEASE}.new"),
                ("exec", f"gather({slot!r})"),
                *copies,
                ("exec", f"commit({slot!r}, {hashes})"),
                ("reset",),
                on_line=self._show_copy,
            )
        except PortError as error:
            fix = f"{error.fix}\n  {self._progress()}"
            raise PortError(error.port, error.cause, fix) from None

    def _progress(self) -> str:
        total = len(self._plan.absent)
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
        if 0 < self._begun <= len(self._plan.absent):
            file = self._plan.absent[self._begun - 1]
            count = f"{self._begun:3}/{len(self._plan.absent)}"
            self._show(f"{count}  {file.path}  {file.size:,} bytes")


def _copy_of(path: Path, to: str) -> tuple[str, ...]:
    return ("fs", "cp", "-f", str(path), f":{to}")


def _check(port: str, bundle: Bundle, board: BoardState) -> None:
    if bundle.target != board.target:
        raise PortError(
            port,
            f"this firmware is for {bundle.target}, the board is {board.target}",
            "Build for its chip with --arch; `egiz-edge build --help` lists them.",
        )
    if not bundle.runs_on(board.mpy):
        raise PortError(
            port,
            f"its MicroPython {board.version} cannot load this firmware: it reads .mpy"
            f" version {board.mpy & 0xFF}, the firmware has {bundle.mpy[0]}",
            "Flash MicroPython 1.24 or newer, or build for its chip with --arch.",
        )


__all__ = ["BoardState", "Plan", "deploy", "plan_of"]
