"""Back up what one machine keeps, while all of it runs.

No server is asked for its data: InfluxDB 1 would give it to everybody who reaches the
port for backups, and its restore is a query that a time limit ends. Files are copied,
in an order in which a copy is what a crash at that moment would have left.
"""

import fcntl
import os
import shlex
import shutil
import sqlite3
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout
from egiz_infra.programs import reason_of, run

PARTS = ("etc", "influxdb", "bridge", "broker")
_PRIVATE = 0o700
_TRIES = 10
_ASKED_WITHIN_S = 60.0
_SAVED_WITHIN_S = 120.0
_PAUSE_S = 0.2


class Kept(NamedTuple):
    """Where the services of one machine keep what cannot be made again."""

    etc: Path
    data: Path
    save_broker: str

    @property
    def influxdb(self) -> Path:
        """Of InfluxDB 1: meta, data and wal."""
        return self.data / "influxdb"

    @property
    def bridge(self) -> Path:
        """Of egiz-bridge: its spool and, if it has one, its archive."""
        return self.data / "egiz-bridge"

    @property
    def broker(self) -> Path:
        """Sessions, their queues, and retained messages."""
        return self.data / "mosquitto/mosquitto.db"


def back_up(kept: Kept, target: Path, report: Callable[[str], None]) -> None:
    """Write one archive for each part into `target`, which only its owner can read.

    Complete or not at all: until it is complete, its name ends with .new.

    Raises:
        InfraError: there is such a directory, or something cannot be copied.
    """
    if target.exists() or target.is_symlink():
        raise InfraError(f"{target} is there already: name another directory")
    for source in (kept.etc, kept.influxdb, kept.bridge, kept.broker.parent):
        if _real(target).is_relative_to(_real(source)):
            raise InfraError(
                f"{target} is inside {source}, which is backed up: each backup would"
                " have those before it; name a directory elsewhere"
            )
    made = target.with_name(f"{target.name}.new")
    with _alone(kept.data):
        _back_up(kept, target, made, report)


def _real(path: Path) -> Path:
    """Where links lead; a loop of them is found when it is used."""
    return Path(os.path.realpath(path))  # resolve() raises a RuntimeError


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Two at once would remove each other's snapshot."""
    try:
        directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InfraError(f"{data} cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InfraError(f"another backup of {data} is being made: wait") from None
    finally:
        os.close(directory)


def _back_up(
    kept: Kept, target: Path, made: Path, report: Callable[[str], None]
) -> None:
    _remove_cut_off(made)
    try:
        _make_private(made)
        for part in PARTS:
            report(_WRITERS[part](kept, made / f"{part}.tar"))
        made.rename(target)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise InfraError(f"no backup was made: {error}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make_private(made: Path) -> None:
    made.mkdir(parents=True, mode=_PRIVATE)
    with suppress(PermissionError):  # of FAT; a share of Windows does as if it did it
        made.chmod(_PRIVATE)
    if stat.S_IMODE(made.stat().st_mode) != _PRIVATE:
        raise InfraError(
            f"{made.parent} is on a file system without owners and rights (as FAT):"
            " whoever reaches it could read the key of the authority. Name a directory"
            " elsewhere, and carry the backup there encrypted"
        )


def _remove_cut_off(made: Path) -> None:
    """What a backup that was killed has left, and nothing else."""
    names = [path.name for path in made.iterdir()] if made.is_dir() else []
    ours = {f"{part}.tar" for part in PARTS}
    if foreign := [n for n in names if n not in ours and not n.endswith(".copy")]:
        raise InfraError(
            f"{made} is in the way, with {foreign[0]}: move it, or remove it"
        )
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _archive(path: Path) -> Iterator[tarfile.TarFile]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with (
        os.fdopen(os.open(path, flags, 0o600), "wb") as file,
        tarfile.open(None, "w", file) as tar,
    ):
        yield tar


def _write_etc(kept: Kept, path: Path) -> str:
    # Not while a command changes it: a key would be beside another one's certificate.
    with Layout(kept.etc).locked(), _archive(path) as tar:
        tar.add(_real(kept.etc), arcname=kept.etc)  # a link alone would be no backup
    return f"{kept.etc}: with the key of the authority, keep it encrypted"


def _write_influxdb(kept: Kept, path: Path) -> str:
    if not kept.influxdb.is_dir():
        with _archive(path):  # a backup without a part is one that was cut off
            pass
        return f"{kept.influxdb} is not there: no database of this machine"
    if not (kept.influxdb / "meta").is_dir():
        raise InfraError(f"{kept.influxdb}/meta is missing: it is no InfluxDB 1")
    snapshot = kept.influxdb / ".egiz-backup"
    try:
        _snapshot(kept.influxdb, snapshot)
        with _archive(path) as tar:
            for name in _directories(snapshot):
                tar.add(snapshot / name, arcname=kept.influxdb / name)
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)
    return f"{kept.influxdb}: {path.stat().st_size:,} bytes"


def _snapshot(source: Path, target: Path) -> None:
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=_PRIVATE)
        before = _names(source)
        try:
            # What moves from the log into the data while we copy is in both, and the
            # same point twice is one point. The other way round it would be in neither.
            for name in _directories(source):
                shutil.copytree(source / name, target / name, copy_function=_take)
        except (FileNotFoundError, shutil.Error):
            continue  # it was compacted
        if _names(source) == before:
            return
    raise InfraError(f"{source} changes too fast: stop influxdb, and do it again")


def _directories(source: Path) -> list[str]:
    """In this order; a database that nothing was written to has no data yet."""
    return [name for name in ("wal", "data", "meta") if (source / name).is_dir()]


def _names(source: Path) -> set[Path]:
    """Of all but the log: an index names its files."""
    return {path for path in (source / "data").rglob("*") if path.suffix != ".tmp"}


def _take(source: str, target: str) -> None:
    """Data files do not change once they are there: a link is a copy, on one disk."""
    if source.endswith(".tsm"):
        with suppress(OSError):
            Path(target).hardlink_to(source)
            return
    shutil.copy2(source, target)
    _give(Path(target), Path(source))


def _give(target: Path, source: Path) -> None:
    if os.geteuid() == 0:
        owner = source.stat()
        os.chown(target, owner.st_uid, owner.st_gid)


def _write_bridge(kept: Kept, path: Path) -> str:
    files = sorted(kept.bridge.glob("*.sqlite")) if kept.bridge.is_dir() else []
    with _archive(path) as tar:
        for file in files:
            copy = path.with_name(f"{file.name}.copy")
            _copy_database(file, copy)
            tar.add(copy, arcname=file)
            copy.unlink()
    names = ", ".join(file.name for file in files) or "nothing"
    return f"{kept.bridge}: {names}"


def _copy_database(source: Path, target: Path) -> None:
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)
    target.chmod(0o600)
    _give(target, source)


def _write_broker(kept: Kept, path: Path) -> str:
    asked = time.time()
    try:
        command = shlex.split(kept.save_broker)
    except ValueError as error:
        raise InfraError(f"--save-broker: {error}") from None
    if not command:
        raise InfraError("--save-broker names no program")
    try:
        done = run(command, _ASKED_WITHIN_S)
    except OSError as error:
        raise InfraError(f"--save-broker: {reason_of(error)}") from None
    runs = done.returncode == 0
    until = time.monotonic() + _SAVED_WITHIN_S
    while runs and not _is_newer(kept.broker, asked):
        if time.monotonic() > until:
            raise InfraError(f"the broker did not write {kept.broker}: see its log")
        time.sleep(_PAUSE_S)
    with _archive(path) as tar:
        if kept.broker.exists():
            tar.add(_real(kept.broker), arcname=kept.broker)
    if runs:
        return f"{kept.broker}: as it was a moment ago"
    why = done.stderr.strip() or f"exit code {done.returncode}"
    return f"{kept.broker}: of its last save, right if the broker is stopped ({why})"


def _is_newer(path: Path, than: float) -> bool:
    return path.exists() and path.stat().st_mtime >= than


_WRITERS = {
    "etc": _write_etc,
    "influxdb": _write_influxdb,
    "bridge": _write_bridge,
    "broker": _write_broker,
}
