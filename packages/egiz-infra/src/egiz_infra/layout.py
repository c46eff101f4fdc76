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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from egiz_infra.errors import InfraError

PRIVATE = 0o600
_PRIVATE_DIRECTORY = 0o700


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories under one root."""

    root: Path

    @property
    def pki(self) -> Path:
        """The authority."""
        return self.root / "pki"

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
    def locked(self) -> Iterator[None]:
        """Let a second egiz-infra wait while this one changes something."""
        try:
            file = (self.pki / "lock").open("a")
        except FileNotFoundError:
            raise InfraError(
                f"there is no authority in {self.root}: run `egiz-infra init`, or name"
                " another directory with --directory"
            ) from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


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
    try:
        _write(path, content, mode)
    except OSError as error:
        raise InfraError(f"{path} cannot be written: {error.strerror}") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(exist_ok=True, mode=_PRIVATE_DIRECTORY)
    temporary = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        owner, made = path.parent.stat(), os.fstat(descriptor)
        is_other = (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid)
        # Only then: the sandbox of a service refuses the call itself.
        if is_other and os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
