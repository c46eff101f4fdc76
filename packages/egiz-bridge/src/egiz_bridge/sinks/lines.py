"""Line protocol to a file or to stdout: for a pipe, another database, or a look."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from egiz_bridge.batch import Row
from egiz_bridge.errors import Unavailable

STDOUT = Path("-")


class Lines:
    """Appends; the file is opened for each batch, so that it may be rotated."""

    name = "lines"

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
        """Append nothing."""
        self.write(())

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
