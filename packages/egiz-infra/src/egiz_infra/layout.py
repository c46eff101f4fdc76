"""Where the files are, and how they are written: complete, private, right owner.

/etc/egiz/
pki/       the authority's key, certificates that were issued   (root alone)
secrets/   one password in each file, named for its account     (root alone)
issued/    what is copied to a device or a service              (root alone)
broker/    what Mosquitto reads: mount it read-only             (Mosquitto's user)
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from egiz_infra.errors import InfraError

PRIVATE = 0o600
_PRIVATE_DIRECTORY = 0o700
_WAITS_S = 600.0  # longer than any command works: each step has a limit of time
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories under one root."""

    root: Path

    @property
    def pki(self) -> Path:
        """The authority."""
        return self.root / "pki"

    @property
    def copies(self) -> Path:
        """Of each certificate that was issued."""
        return self.pki / "certificates"

    @property
    def secrets(self) -> Path:
        """Passwords of accounts."""
        return self.root / "secrets"

    @property
    def issued(self) -> Path:
        """Keys and certificates to be copied to devices and services."""
        return self.root / "issued"

    @property
    def broker(self) -> Path:
        """What the broker reads."""
        return self.root / "broker"

    def create(self) -> None:
        """Make the directories that are not there."""
        for directory in (self.pki, self.secrets, self.issued, self.broker):
            directory.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)

    @contextmanager
    def locked(self) -> Iterator[set[Path]]:
        """Let a second egiz-infra wait while this one changes something.

        Gives the files whose removal was interrupted, and that are removed by now.
        """
        try:
            file = (self.pki / "lock").open("a")
        except FileNotFoundError:
            raise InfraError(
                f"there is no authority in {self.root}: run `egiz-infra init`, or name"
                " another directory with --directory"
            ) from None
        with file:
            self._wait_for(file)
            removed = _finish(self)
            for left in self.copies.glob(".*"):  # by a kill: another has another name
                left.unlink()
            yield removed

    def _wait_for(self, lock: TextIO) -> None:
        """One that was suspended (Ctrl-Z) has its lock until it goes on or is ended."""
        until = time.monotonic() + _WAITS_S
        while time.monotonic() < until:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_PAUSE_S)
        raise InfraError(
            f"another egiz-infra has been at work in {self.root} for"
            f" {_WAITS_S / 60:.0f} minutes: let it go on, or end it"
        )


def read_of_broker(path: Path) -> bytes | None:
    """Read a file of the directory that the broker's user owns; None if it is no file.

    A link is not followed: that user could make one to a key that only root may read,
    and what is read here is written back for the broker. Nor does a pipe block.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            return None
        raise
    found = os.fstat(descriptor)
    # With a second name it may be a file of another directory.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def write(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file in one step; a crash leaves the old one or the new one.

    It gets the owner of its directory: Mosquitto reads its files again as a
    user of its own, and runs without an access list if it cannot read that. That
    user may put anything into its directory meanwhile: what is written is a new
    file, and a link is replaced, never followed.

    Raises:
        InfraError: if it cannot be written.
    """
    with _named(path):
        _stage(path, content, mode)
        _staged(path).replace(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InfraError(f"{path} cannot be written: {error.strerror}") from None


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _stage(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(exist_ok=True, mode=_PRIVATE_DIRECTORY)
    staged = _staged(path)
    with suppress(FileNotFoundError):
        staged.unlink()
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        owner, made = path.parent.stat(), os.fstat(descriptor)
        is_other = (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid)
        # Only then: the sandbox of a service refuses the call itself.
        if is_other and os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        if stat.S_IMODE(made.st_mode) != mode:  # the umask of who runs it took some
            os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def write_together(layout: Layout, files: Mapping[Path, bytes | None]) -> None:
    """Replace files that belong together, as a key and its certificate.

    All are written beside those in force, and then a list of them. A kill before that
    changes nothing; after it, whoever has the lock next does the rest.

    Args:
        layout: where they are.
        files: the content of each; None removes it.

    Raises:
        InfraError: if one cannot be written.
    """
    for path, content in files.items():
        if content is not None:
            with _named(path):
                _stage(path, content, PRIVATE)
    lines = (
        f"{'-' if content is None else '+'}{path.relative_to(layout.root)}\n"
        for path, content in files.items()
    )
    write(_list_of(layout), "".join(lines).encode())
    _finish(layout)


def _finish(layout: Layout) -> set[Path]:
    """Do what is left of it: a file that is not staged has been replaced already."""
    removed: set[Path] = set()
    try:
        lines = _list_of(layout).read_text().splitlines()
    except FileNotFoundError:
        return removed
    for line in lines:
        path = layout.root / line[1:]
        with _named(path):
            if line.startswith("-"):
                path.unlink(missing_ok=True)
                removed.add(path)
            else:
                with suppress(FileNotFoundError):
                    _staged(path).replace(path)
    _list_of(layout).unlink()
    return removed


def _list_of(layout: Layout) -> Path:
    """In a directory that only root can write to."""
    return layout.pki / ".together"
