"""Restore a backup into a scratch directory, start its servers, and count.

As root in a network of its own, where nothing reaches the copies.
"""

import ctypes
import fcntl
import os
import socket
import sqlite3
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from egiz_infra.authority import Authority
from egiz_infra.backup import PARTS
from egiz_infra.drill_servers import points, retained
from egiz_infra.errors import InfraError
from egiz_infra.layout import Layout
from egiz_infra.register import issued

_END = bytes(2 * tarfile.BLOCKSIZE)
_CLONE_NEWNET, _SIOCSIFFLAGS, _IFF_UP = 0x40000000, 0x8914, 1


def drill(backup: Path, report: Callable[[str, int], None]) -> None:
    """Restore it and report how much there is of everything.

    Args:
        backup: what `back_up` wrote.
        report: called with a name and a number.

    Raises:
        InfraError: something is missing or cannot be used.
    """
    with (
        _network_of_its_own(),
        tempfile.TemporaryDirectory(prefix="egiz-drill-") as name,
    ):
        scratch = Path(name)
        for part in PARTS:
            _unpack(backup / f"{part}.tar", scratch)
        etc = _only(scratch, "**/pki/ca.key").parent.parent
        report("certificates", len(issued(Authority(Layout(etc)))))
        for file in sorted(scratch.glob("**/egiz-bridge/*.sqlite")):
            for table, count in _tables(file):
                report(f"{file.name} {table}", count)
        for data in scratch.glob("**/mosquitto/mosquitto.db"):
            report("broker retained", retained(data, scratch))
        for meta in scratch.glob("**/influxdb/meta"):
            password = (etc / "secrets/influxdb-admin").read_text().strip()
            for measurement, count in points(meta.parent, password, scratch):
                report(f"influxdb {measurement}", count)


@contextmanager
def _network_of_its_own() -> Iterator[None]:
    """Only root can, and only root's copies need it: others own what they restore.

    It is this thread's, and that of what it starts, until the block ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        has_left = libc.unshare(_CLONE_NEWNET) == 0
        try:
            if has_left:
                with socket.socket() as any_socket:
                    request = struct.pack("16sH22x", b"lo", _IFF_UP)
                    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
            yield
        finally:
            if has_left:
                libc.setns(before.fileno(), _CLONE_NEWNET)


def _unpack(path: Path, scratch: Path) -> None:
    try:
        _check_end(path)
        with tarfile.open(path) as tar:
            tar.extractall(scratch, filter="tar")
    except (OSError, tarfile.TarError) as error:
        raise InfraError(f"{path} cannot be unpacked: {error}") from None


def _check_end(path: Path) -> None:
    """One that a full disk cut off between two files looks like a smaller one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_END)))
        is_whole = size % tarfile.RECORDSIZE == 0 and file.read() == _END
    if not is_whole:
        raise InfraError(
            f"{path} cannot be unpacked: its end is missing: copy it again"
        )


def _only(scratch: Path, pattern: str) -> Path:
    found = next(scratch.glob(pattern), None)
    if found is None:
        raise InfraError("there is no authority in etc.tar")
    return found


def _tables(file: Path) -> Iterator[tuple[str, int]]:
    with closing(sqlite3.connect(file)) as database:
        try:
            ((state,),) = database.execute("PRAGMA integrity_check(1)").fetchall()
            if state != "ok":
                raise InfraError(f"{file.name} is damaged: {state}")
            names = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite_%' ORDER BY name"
            ).fetchall()
            for (name,) in names:
                # A name of the file's own list, quoted.
                query = f'SELECT count(*) FROM "{name}"'  # noqa: S608  # as above
                yield name, database.execute(query).fetchone()[0]
        except sqlite3.Error as error:
            raise InfraError(f"{file.name} is damaged: {error}") from None
