"""Line protocol to a file or to stdout: for a pipe, another database, or a look."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable
from egiz_bridge.files import probe_writable
from egiz_bridge.sinks.sink import FileSinkTable

STDOUT = Path("-")


class LineProtocolTable(FileSinkTable):
    """Line protocol, appended to a file. Give the table and it is written to."""

    key: ClassVar[str] = "line_protocol"

    path: Path = Field(description="the file, or - for stdout")

    def open(self) -> "LineProtocolSink":
        """The sink; its file is opened by each write."""
        return LineProtocolSink(self.path)


class LineProtocolSink:
    """Appends; the file is opened for each batch, so that it may be rotated."""

    name = "line_protocol"

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, rows: Sequence[Row]) -> None:
        """Append one line for each row, precision ms; fsynced, if it is a file."""
        body = b"".join([row.line + b"\n" for row in rows])
        try:
            if self._path == STDOUT:
                sys.stdout.buffer.write(body)
                sys.stdout.buffer.flush()
            else:
                self._append(body)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error

    def probe(self) -> None:
        """Ask whether the file may be written."""
        if self._path != STDOUT:
            probe_writable(self._path)

    def close(self) -> None:
        """Nothing is kept open."""

    def _append(self, body: bytes) -> None:
        with self._path.open("ab") as file:
            begin = file.tell()
            try:
                file.write(body)
                file.flush()
                if self._path.is_file():  # and no pipe
                    os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # as of a pipe
                    os.ftruncate(file.fileno(), begin)  # no half of a line
                raise
            is_removed = not os.fstat(file.fileno()).st_nlink
        if is_removed:
            raise OSError(errno.ENOENT, "it was removed while it was written")
